// Several studies: the best so far of each, while they run.

import { fetchJson, pageData, repeat, segment, element, table } from "./common.js";
import { showPanels } from "./charts.js";

const { names } = pageData();
const query = names.map((name) => `names=${segment(name)}`).join("&");
const byId = (id) => document.getElementById(id);
let live = true;

repeat(2, async () => {
  if (!live) return;
  const found = await fetchJson(`/compare/data?${query}`);
  live = found.live;
  byId("said").textContent = found.said;
  byId("said").hidden = !found.said;
  showPanels(byId("charts"), found.panels, { level: "h2" });
  byId("table").replaceChildren(...(found.table ? [table(found.table, "Comparison")] : []));
  byId("notes").replaceChildren(...found.notes.map((note) => element("p", { className: "soft" }, note)));
  document.documentElement.dataset.ready = "true";
});
