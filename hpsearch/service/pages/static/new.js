// A new study: a file to start from, an editor that says what is wrong, and its submission.

import { ServiceError, api, fetchJson, pageData, request, segment, element } from "./common.js";

const { files, narrow } = pageData();
const byId = (id) => document.getElementById(id);
const [start, form, file, lines, said] = ["start", "study", "file", "lines", "said"].map(byId);
let checking = null, planned = 0, wrong = null;

// The editor ---------------------------------------------------------------------------------------

function number() {
  const count = file.value.split("\n").length;
  while (lines.children.length > count) lines.lastElementChild.remove();
  while (lines.children.length < count) lines.append(element("span", {}, String(lines.children.length + 1)));
  [...lines.children].forEach((line, n) => { line.className = n === wrong ? "wrong" : ""; });
  lines.scrollTop = file.scrollTop;
}

function write(text) {
  file.value = text;
  file.scrollTop = 0;
  check();
}

// The number of the line that a sentence is about, from 0; null if it names none that is there.
export function lineOf(sentence, text) {
  const rows = text.split("\n");
  const at = /\bline (\d+)/.exec(sentence);
  if (at) return Math.min(Number(at[1]), rows.length) - 1;
  const place = /^study file: ([\w.-]+)/.exec(sentence)?.[1];
  if (place === undefined) return null;
  const keys = place.split(".");
  for (let length = keys.length; length > 0; length -= 1) {
    const found = findKey(rows, keys.slice(0, length));
    if (found !== null) return found;
  }
  return null;
}

function findKey(rows, path) {
  let table = "";
  for (const [n, row] of rows.entries()) {
    const heading = /^\s*\[+\s*([^\]]+?)\s*\]+/.exec(row);
    if (heading) table = heading[1];
    const key = heading ? null : /^\s*["']?([\w.-]+)["']?\s*=/.exec(row)?.[1];
    const here = key ? (table ? `${table}.${key}` : key) : heading ? table : null;
    if (here === path.join(".")) return n;
  }
  return null;
}

function note(sentence, isWrong = false) {
  wrong = isWrong ? lineOf(sentence, file.value) : null;
  said.className = isWrong ? "problem" : "soft";
  said.textContent = wrong === null || !isWrong ? sentence : `Line ${wrong + 1}: ${sentence}`;
  file.ariaInvalid = isWrong ? "true" : "false";
  number();
}

function refuse(error) {
  if (!(error instanceof ServiceError)) throw error;
  note(error.message, true);
}

// Returns whether the file is right, and says so, or what is wrong.
async function check() {
  clearTimeout(planned);
  checking?.abort();
  checking = new AbortController();
  if (!file.value.trim()) { note(""); return false; }
  try {
    const options = { method: "POST", body: { file: file.value }, signal: checking.signal };
    const { said: sentence, trials } = await fetchJson("/new/check", options);
    if (sentence) note(sentence, true);
    else note(`This file is right. ${trials === 1 ? "1 trial" : `${trials.toLocaleString("en")} trials`}.`);
    return !sentence;
  } catch (error) {
    if (error.name === "AbortError") return false;
    refuse(error);
    return false;
  }
}

let leaving = false; // after Esc, Tab goes on to the next field
file.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { leaving = true; return; }
  if (event.key !== "Tab" || event.shiftKey || event.ctrlKey || event.altKey || leaving) {
    if (event.key !== "Shift") leaving = false;
    return;
  }
  event.preventDefault();
  file.setRangeText("  ", file.selectionStart, file.selectionEnd, "end");
  file.dispatchEvent(new Event("input"));
});
file.addEventListener("blur", () => { leaving = false; });
file.addEventListener("scroll", () => { lines.scrollTop = file.scrollTop; });
file.addEventListener("input", () => {
  number();
  clearTimeout(planned);
  planned = setTimeout(check, 400);
});

// What it starts from ------------------------------------------------------------------------------

async function waiting(button, work) {
  button.disabled = true;
  button.ariaBusy = "true";
  try { await work(); } catch (error) { refuse(error); }
  button.disabled = false;
  button.ariaBusy = null;
}

start?.addEventListener("change", ({ target }) => {
  if (target.name !== "start") return;
  const isTable = target.value.startsWith("table:");
  byId("for-table").hidden = !isTable;
  write(isTable ? "" : files[target.value.replace(/^file:/, "")]);
});
start?.addEventListener("submit", (event) => {
  event.preventDefault();
  const source = start.elements.start.value.replace(/^table:/, "");
  waiting(start.querySelector("button"), async () => {
    note(`Reading ${source} …`);
    const body = { source, target: start.elements.target.value };
    write((await fetchJson("/new/table", { method: "POST", body })).file);
  });
});

// Its submission -----------------------------------------------------------------------------------

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { name, jobs, priority } = form.elements;
  const body = {
    file: file.value, name: name.value.trim() || null, jobs: Number(jobs.value), priority: Number(priority.value),
  };
  waiting(form.querySelector("button"), async () => {
    if (!await check()) { file.focus(); return; }
    note("Starting …");
    const answer = await request(`${api}/studies`, { method: "POST", body });
    const address = `/studies/${segment((await answer.json()).name)}`;
    if (answer.status === 201) { location.assign(address); return; }
    note("");
    said.replaceChildren("This study is there already: ", element("a", { href: address }, "open it"), ".");
  });
});

if (narrow) {
  note("Finding the ranges around the best trials …");
  fetchJson(`${api}/studies/${segment(narrow)}/narrow`, { method: "POST", body: {} })
    .then((found) => write(found.file)).catch(refuse);
} else {
  start.elements.start.dispatchEvent(new Event("change", { bubbles: true })); // a browser may remember a choice
}
document.documentElement.dataset.ready = "true";
