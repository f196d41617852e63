// A trial: its curves, which grow while it runs.

import { fetchJson, pageData, repeat, show } from "./common.js";
import { showPanels } from "./charts.js";

let { address, ended, panels } = pageData();
showPanels(document.getElementById("curves"), panels, { level: "h2" });
if (!ended) {
  repeat(1, async () => {
    if (ended) return;
    const found = await fetchJson(address);
    ended = found.ended;
    show(document.getElementById("facts"), found.html);
    showPanels(document.getElementById("curves"), found.panels, { level: "h2" });
  });
}
document.documentElement.dataset.ready = "true";
