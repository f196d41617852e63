// A study: its events say when something has changed, and what shows it is fetched again.

import { ServiceError, api, ask, attempt, fetchJson, follow, limited, pageData, request, segment, show, element, table } from "./common.js";
import { showPanels } from "./charts.js";

const { study, cursor } = pageData();
const byId = (id) => document.getElementById(id);
const [actions, problem, trials, filter] = ["actions", "problem", "trials", "filter"].map(byId);
const here = `/studies/${segment(study)}`;
const ofApi = `${api}/studies/${segment(study)}`;

// What is shown ------------------------------------------------------------------------------------

let over = false; // the study is being deleted: there is nothing more to fetch
const whileThere = (seconds, step) => limited(seconds, async () => { if (!over) await step(); });

const refreshLive = whileThere(1, async () => {
  const { parts, panels } = await fetchJson(`${here}/live`);
  for (const [name, html] of Object.entries(parts)) show(byId(name), html);
  showPanels(byId("live"), panels, { level: "h2" });
});

const asked = { sort: "trial", down: true, offset: 0 };
let tables = 0;
async function showTable() {
  const { state, search } = filter.elements;
  const query = new URLSearchParams({ ...asked, state: state.value, search: search.value.trim() });
  const number = (tables += 1);
  const html = await (await request(`${here}/table?${query}`)).text();
  if (number === tables) show(trials, html); // nobody has asked for another one since
}
const refreshTable = whileThere(1, showTable);

const refreshCharts = whileThere(4, async () => {
  const { panels, note, hover, evaluation } = await fetchJson(`${here}/charts`);
  byId("note").textContent = note;
  byId("note").hidden = !note;
  showPanels(byId("charts"), panels, { hover });
  showEvaluation(evaluation);
});

let shownEvaluation = "null";
function showEvaluation(evaluation) {
  const text = JSON.stringify(evaluation);
  if (text === shownEvaluation) return;
  shownEvaluation = text;
  byId("evaluation").hidden = evaluation === null;
  if (evaluation === null) return;
  const place = byId("evaluation").querySelector("div");
  place.replaceChildren(...evaluation.parts.flatMap((part) => [
    ...(part.heading ? [element("h3", {}, part.heading)] : []),
    ...(part.text ? [element("p", {}, part.text)] : []),
    ...(part.table ? [table(part.table, part.heading || "Evaluation")] : []),
  ]));
  const charts = element("div");
  place.append(charts);
  showPanels(charts, evaluation.panels);
}

const refresh = () => { refreshLive(); refreshTable(); refreshCharts(); };
const gone = () => {
  over = true;
  problem.textContent = `The study ${study} has been deleted.`;
  problem.hidden = false;
  actions.replaceChildren(element("a", { className: "button", href: "/" }, "All studies"));
};

// The table of trials ------------------------------------------------------------------------------

trials.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button === null) return;
  const { sort, offset } = button.dataset;
  if (offset !== undefined) asked.offset = Number(offset);
  else Object.assign(asked, { sort, down: asked.sort === sort ? !asked.down : false, offset: 0 });
  attempt(showTable);
});
filter.addEventListener("input", () => { asked.offset = 0; attempt(showTable); });
filter.addEventListener("submit", (event) => event.preventDefault());

// What a reader does -------------------------------------------------------------------------------

const post = (what, body) => request(`${ofApi}/${what}`, { method: "POST", body });

async function more({ planned, still, what }) {
  byId("more-now").textContent = `It is to have ${Number(planned).toLocaleString("en")} ${what} now.`;
  const given = await ask(byId("more"));
  if (given === null) return;
  const trials = Number(planned) + Number(given.get("more"));
  await request(ofApi, { method: "PATCH", body: { trials } });
  if (still) await post("resume");
}

async function evaluate() {
  const given = await ask(byId("evaluate"));
  if (given === null) return;
  const body = { top: Number(given.get("top")), seeds: Number(given.get("seeds")), again: given.has("again") };
  await post("evaluate", body);
}

async function remove() {
  if (await ask(byId("delete")) === null) return;
  over = true;
  try {
    await request(ofApi, { method: "DELETE" });
    byId("state").textContent = "Deleting …"; // the events say when it is gone
  } catch (error) {
    over = false;
    throw error;
  }
}

async function download({ format }) {
  const answer = await request(`${ofApi}/export?format=${segment(format)}`);
  const address = URL.createObjectURL(await answer.blob());
  element("a", { href: address, download: `${study}.${format}` }).click();
  URL.revokeObjectURL(address);
  actions.querySelector("details").open = false;
}

const does = {
  stop: () => post("stop"), resume: () => post("resume"), more, evaluate, delete: remove, export: download,
};

actions.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-action]");
  if (button === null || button.ariaBusy === "true") return;
  problem.hidden = true;
  button.ariaBusy = "true"; // and not disabled: it would lose the focus
  try {
    await does[button.dataset.action](button.dataset);
    refreshLive();
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    problem.textContent = error.message;
    problem.hidden = false;
  }
  button.ariaBusy = null;
});
document.addEventListener("click", ({ target }) => {
  const menu = actions.querySelector("details[open]");
  if (menu !== null && !menu.contains(target)) menu.open = false;
});
document.addEventListener("keydown", ({ key }) => {
  const menu = actions.querySelector("details[open]");
  if (key !== "Escape" || menu === null) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

refresh();
follow(study, cursor, refresh, gone);
document.documentElement.dataset.ready = "true";
