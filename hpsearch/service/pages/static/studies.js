// The list of studies: it is asked for again each second, and the cells that have changed are redrawn.

import { fetchJson, repeat, segment, show } from "./common.js";

const STEP = 100; // rows
const byId = (id) => document.getElementById(id);
const [filter, rows, more, compare] = ["filter", "rows", "more", "compare"].map(byId);
const chosen = new Set();
let limit = STEP;

const address = () => {
  const { search, state } = filter.elements;
  return `/rows?search=${segment(search.value.trim())}&state=${segment(state.value)}&limit=${limit}`;
};

function update(row, html) {
  const made = document.createElement("template");
  made.innerHTML = `<table><tr>${html}</tr></table>`;
  const cells = [...made.content.querySelector("tr").children];
  if (row.children.length === 0) { row.append(...cells); return; }
  cells.forEach((cell, n) => { if (n > 1) show(row.children[n], cell.innerHTML); });
}

const refresh = repeat(1, async () => {
  const found = await fetchJson(address());
  byId("empty").hidden = found.all > 0;
  byId("some").hidden = found.all === 0;
  const names = Object.keys(found.rows);
  const known = new Map([...rows.children].map((row) => [row.dataset.name, row]));
  names.forEach((name, place) => {
    let row = known.get(name);
    known.delete(name);
    if (row === undefined) {
      row = document.createElement("tr");
      row.dataset.name = name;
    }
    update(row, found.rows[name]);
    if (rows.children[place] !== row) rows.insertBefore(row, rows.children[place] ?? null);
  });
  known.forEach((row) => { chosen.delete(row.dataset.name); row.remove(); });
  byId("none").hidden = names.length > 0;
  more.hidden = names.length >= found.total;
  const total = found.total === 1 ? "1 study" : `${found.total.toLocaleString("en")} studies`;
  if (byId("total").textContent !== total) byId("total").textContent = total;
  choose();
});

function choose() {
  for (const box of rows.querySelectorAll("input[type=checkbox]")) box.checked = chosen.has(box.value);
  compare.disabled = chosen.size < 2;
  compare.textContent = chosen.size < 2 ? "Compare" : `Compare ${chosen.size}`;
}

rows.addEventListener("change", ({ target }) => {
  if (target.checked) chosen.add(target.value); else chosen.delete(target.value);
  choose();
});
compare.addEventListener("click", () => {
  location.assign(`/compare?${[...chosen].map((name) => `names=${segment(name)}`).join("&")}`);
});
more.addEventListener("click", () => { limit += STEP; refresh(); });
filter.addEventListener("input", () => { limit = STEP; refresh(); });
filter.addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
