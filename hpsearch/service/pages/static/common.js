// What the pages share: talking to the service, showing what has changed, and saying so if it is away.

export const pageData = () => JSON.parse(document.getElementById("page-data").textContent);
export const api = "/api/v1";
export const segment = encodeURIComponent;

const AWAY = "The service does not answer. This page goes on as soon as it does.";
const outage = document.getElementById("outage");
const complain = (sentence) => {
  if (outage.textContent !== sentence) outage.textContent = sentence;
  outage.hidden = false;
};
const away = () => complain(AWAY);
const back = () => { outage.hidden = true; };

// The service refuses, or does not answer; the message is a sentence.
export class ServiceError extends Error {}

// Returns the answer. Throws a ServiceError with the service's sentence if it refuses.
export async function request(address, { method = "GET", body, signal } = {}) {
  let answer;
  try {
    answer = await fetch(address, {
      method,
      signal,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    away();
    throw new ServiceError(AWAY, { cause: error });
  }
  back();
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new ServiceError(said.detail ?? `The service answers ${answer.status}.`);
}

export const fetchJson = async (address, options) => (await request(address, options)).json();

// Calls a step; if the service refuses, the page says so until it does not any more. Returns for how
// many milliseconds it need not be called again: longer than `seconds` for a step that took long.
export async function attempt(step, seconds = 0) {
  const began = performance.now();
  try {
    await step();
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    complain(error.message);
  }
  return Math.max(seconds * 1000, 3 * (performance.now() - began));
}

// Calls `step` now and `seconds` after it has ended, again and again, while the page can be seen.
// The returned function calls it soon.
export function repeat(seconds, step) {
  let timer, busy = false, again = false;
  const run = async () => {
    clearTimeout(timer);
    again = busy;
    if (busy) return;
    busy = true;
    const pause = await attempt(step, seconds);
    busy = false;
    if (again) run();
    else if (!document.hidden) timer = setTimeout(run, pause);
  };
  document.addEventListener("visibilitychange", () => { if (document.hidden) clearTimeout(timer); else run(); });
  run();
  return run;
}

// Returns a function that calls `step`, at most once in `seconds`, and never twice at a time.
export function limited(seconds, step) {
  let planned = false, wanted = false;
  const run = async () => {
    wanted = false;
    const pause = await attempt(step, seconds);
    setTimeout(() => { planned = false; if (wanted) call(); }, pause);
  };
  const call = () => {
    wanted = true;
    if (planned) return;
    planned = true;
    run();
  };
  return call;
}

// Follows the events of a study while the page can be seen: browsers open few connections to a host.
export function follow(study, cursor, onNews, onGone) {
  let source = null;
  const open = () => {
    source = new EventSource(`${api}/studies/${segment(study)}/events?since=${segment(cursor)}`);
    const news = (event) => { cursor = event.lastEventId || cursor; back(); onNews(); };
    source.addEventListener("study", news);
    source.addEventListener("trial", news);
    source.addEventListener("gone", () => { source.close(); onGone(); });
    source.addEventListener("open", back);
    source.addEventListener("error", async () => {
      away();
      if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
      await attempt(() => request(`${api}/studies/${segment(study)}`)); // the page says why
      setTimeout(() => { if (!document.hidden && source?.readyState === EventSource.CLOSED) open(); }, 5000);
    });
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source?.close(); source = null; } else if (source === null) open();
  });
  window.addEventListener("pagehide", () => source?.close());
  open();
}

// Shows HTML that the service has escaped, if it has changed; what had the focus keeps it.
const shown = new WeakMap();
export function show(place, html) {
  if (shown.get(place) === html) return;
  shown.set(place, html);
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  place.innerHTML = html;
  if (key !== undefined) place.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value; else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Opens a dialog; returns its form's values if it was confirmed, else null.
export function ask(dialog) {
  dialog.returnValue = "";
  const cancel = dialog.querySelector("[data-close]"); // no submit button: Enter confirms
  if (cancel) cancel.onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? new FormData(dialog.querySelector("form")) : null);
    }, { once: true });
  });
}

export function table({ headings, numeric, rows }, name) {
  const style = (column) => (numeric[column] ? "number" : "");
  const head = headings.map((text, column) => element("th", { scope: "col", className: style(column) }, text));
  const body = rows.map((row) => element("tr", {}, ...row.map((text, column) => element("td", { className: style(column) }, text))));
  return element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: name },
    element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body)));
}
