"use strict";

const read = (id) => JSON.parse(document.getElementById(id).textContent);

// Charts. A trace refers to trials by index, so that the page contains each hover text only once.
const hoverTexts = read("hover-texts");
const charts = [];
for (const { name, data, layout } of read("figures")) {
  for (const trace of data) {
    if (trace.customdata) {
      trace.text = trace.customdata.map((index) => (index === null ? "" : hoverTexts[index]));
    }
  }
  const chart = document.getElementById(`chart-${name}`);
  Plotly.newPlot(chart, data, layout, { responsive: true, displayModeBar: false });
  charts.push(chart);
}

// Zooming one panel of learning curves zooms all of them.
const linked = charts.filter((chart) => chart.dataset.group === "learning");
let following = false;
for (const chart of linked) {
  chart.on("plotly_relayout", (change) => {
    const zoom = Object.entries(change).filter(([key]) => /^[xy]axis\.(range|autorange)/.test(key));
    if (following || zoom.length === 0) return;
    following = true;
    const others = linked.filter((other) => other !== chart);
    const done = () => { following = false; };
    Promise.all(others.map((other) => Plotly.relayout(other, Object.fromEntries(zoom)))).then(done, done);
  });
}

// Sortable tables.
const compare = (one, other) => {
  if (one.dataset.n !== undefined && other.dataset.n !== undefined) return one.dataset.n - other.dataset.n;
  return one.textContent.localeCompare(other.textContent, "en", { numeric: true });
};
const isEmpty = (cell) => cell.textContent === "";

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((each) => each.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const [one, other] = [a.cells[column], b.cells[column]];
        if (isEmpty(one) || isEmpty(other)) return isEmpty(one) - isEmpty(other); // empty cells stay last in both directions
        return up ? compare(one, other) : compare(other, one);
      });
      table.tBodies[0].append(...rows);
    });
  });
}

// Paper is narrower than a screen, so charts are resized for printing.
const fit = () => charts.forEach((chart) => Plotly.relayout(chart, { width: chart.clientWidth }));
window.addEventListener("beforeprint", () => {
  document.body.classList.add("on-paper");
  fit();
});
window.addEventListener("afterprint", () => {
  document.body.classList.remove("on-paper");
  charts.forEach((chart) => Plotly.relayout(chart, { width: null, autosize: true }));
});
document.documentElement.dataset.ready = "true";
