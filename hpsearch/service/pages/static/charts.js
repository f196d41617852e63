// Draws the charts that the service delivers as data, in the style of the report.

import { element } from "./common.js";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const IN_THE_DARK = {
  "#222222": "#e4e6e8", "#999999": "#7d858c", "#ececec": "#2c3238", "white": "#171b1f",
  "#0072b2": "#5eb1e8", "#000000": "#e4e6e8", "rgba(255,255,255,0.75)": "rgba(23,27,31,0.75)",
};
const drawn = new Map(); // places, and how they were filled last

const inTheDark = (value) => {
  if (typeof value === "string") return IN_THE_DARK[value.toLowerCase()] ?? value;
  if (Array.isArray(value)) return value.map(inTheDark);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, inTheDark(each)]));
};

// On paper the better trials are darker; on a dark page they are brighter.
const DARKER = "Better trials are darker", BRIGHTER = "Better trials are brighter";
const NO_SHADES = new Set(["#999999", "#d55e00"]); // pruned trials, and the best

function brighter(data) {
  const shades = data.map((trace) => trace.line.color).filter((colour) => !NO_SHADES.has(colour.toLowerCase()));
  const other = Object.fromEntries(shades.map((shade, n) => [shade, shades.at(-1 - n)]));
  return data.map((trace) => ({ ...trace, line: { ...trace.line, color: other[trace.line.color] ?? trace.line.color } }));
}

function themed({ name, data, layout }) {
  const always = { uirevision: "kept", autosize: true }; // keeps what the reader has zoomed to
  if (!dark.matches) return { data, layout: { ...layout, ...always } };
  const traces = (name === "parallel" ? brighter(data) : data).map((trace) => {
    const styles = ["line", "marker"].filter((key) => trace[key] !== undefined);
    return { ...trace, ...Object.fromEntries(styles.map((key) => [key, inTheDark(trace[key])])) };
  });
  return { data: traces, layout: { ...inTheDark(layout), ...always } };
}

function draw(place, chart) {
  const { data, layout } = themed(chart);
  Plotly.react(place, data, layout, { responsive: true, displayModeBar: false });
}

dark.addEventListener("change", () => drawn.forEach(([panels, options], place) => showPanels(place, panels, options)));

function describe(place, { heading, note, missing, keys }, level) {
  const list = Object.entries(keys).map(([text, style]) => element("li", {}, element("i", { className: `key ${style}` }), text));
  place.replaceChildren(
    element(level, {}, heading),
    ...(missing ? [element("p", { className: "missing" }, missing)] : []),
    ...(note ? [element("p", { className: "soft" }, dark.matches ? note.replace(DARKER, BRIGHTER) : note)] : []),
    ...(list.length ? [element("ul", { className: "keys" }, ...list)] : []),
  );
}

// Shows panels in a place, each with its charts; charts of the same name are redrawn where they are.
// hover: the texts of trials, to which the traces refer by number.
export function showPanels(place, panels, options = {}) {
  const { hover = [], level = "h3" } = options;
  drawn.set(place, [panels, options]);
  const known = new Map([...place.children].map((each) => [each.dataset.name, each]));
  for (const panel of panels) {
    const block = known.get(panel.name) ?? element("div", { className: "panels" }, element("div"), element("div", { className: "scroll", tabIndex: 0 }, element("div")));
    known.delete(panel.name);
    block.dataset.name = panel.name;
    const [about, scroll] = block.children;
    const text = JSON.stringify([dark.matches, panel.heading, panel.note, panel.missing, panel.keys]);
    if (about.dataset.text !== text) { about.dataset.text = text; describe(about, panel, level); }
    scroll.hidden = panel.charts.length === 0;
    scroll.role = "group";
    scroll.ariaLabel = panel.heading;
    const grid = scroll.firstElementChild;
    grid.className = `grid columns-${panel.columns}`;
    if (block.parentElement !== place) place.append(block); // a chart is as wide as its place
    showCharts(grid, panel.charts, hover);
  }
  known.forEach((block) => { block.querySelectorAll(".chart").forEach(Plotly.purge); block.remove(); });
}

function showCharts(grid, charts, hover) {
  const known = new Map([...grid.children].map((each) => [each.dataset.name, each]));
  const places = charts.map((chart) => {
    let figure = known.get(chart.name);
    known.delete(chart.name);
    if (figure === undefined) {
      figure = element("figure", {}, element("figcaption"), element("div", { className: "chart" }));
      figure.dataset.name = chart.name;
      grid.append(figure);
    }
    const [caption, place] = figure.children;
    caption.textContent = chart.title;
    caption.title = chart.title;
    caption.hidden = !chart.title;
    place.style.height = `${chart.height}px`;
    return place;
  });
  known.forEach((figure) => { Plotly.purge(figure.querySelector(".chart")); figure.remove(); });
  charts.forEach((chart, n) => { // when all are there: a chart is as wide as the others leave it
    for (const trace of chart.data) {
      if (trace.customdata) trace.text = trace.customdata.map((index) => (index === null ? "" : hover[index]));
    }
    draw(places[n], chart);
  });
}
