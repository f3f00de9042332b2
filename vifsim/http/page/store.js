// What the page knows: entries, the world, the rules, the clock. Views subscribe and redraw.

export const MOST = 10000;

export const store = {
  entries: new Map(),
  order: [],           // seqs, oldest first
  state: null,
  scenario: null,
  timeline: { start: null, phases: [], rules: [] },
  clock: { mode: "real", speed: 1, now: 0, utc: "" },
  clockAt: performance.now(),
  up: false,
  fired: new Map(),    // rule id → times that it fired since the scenario was told
  changes: 0,
};

const views = new Set();
const dirty = new Set();
let planned = false;

/** Let `draw` run soon after one of `parts` has changed. */
export function onChange(parts, draw) {
  views.add({ parts: new Set(parts), draw });
}

export function changed(...parts) {
  for (const part of parts) dirty.add(part);
  if (planned) return;
  planned = true;
  const go = () => {
    planned = false;
    const now = new Set(dirty);
    dirty.clear();
    for (const view of views) if ([...view.parts].some((part) => now.has(part))) view.draw(now);
  };
  if (document.hidden) setTimeout(go, 250); else requestAnimationFrame(go);
}

/** The simulated time now, in seconds, between two words of the simulator. */
export function now() {
  const { mode, speed, now: told } = store.clock;
  if (mode === "manual" || !store.up) return told;
  return told + ((performance.now() - store.clockAt) / 1000) * speed;
}

export function setClock(clock) {
  store.clock = clock;
  store.clockAt = performance.now();
  changed("clock");
}

export function setScenario(document) {
  store.scenario = document;
  store.fired.clear();
  changed("scenario");
}

export function setState(document) {
  store.state = document;
  changed("state");
}

export function takeEntry(entry) {
  const known = store.entries.get(entry.seq);
  if (known?.outcome && !entry.outcome) return;
  store.entries.set(entry.seq, entry);
  if (!known) {
    const last = store.order.length ? store.order[store.order.length - 1] : 0;
    store.order.push(entry.seq);
    if (entry.seq < last) store.order.sort((a, b) => a - b);
    while (store.order.length > MOST) store.entries.delete(store.order.shift());
  }
  if (entry.decision && !known?.decision) {
    for (const rule of entry.decision.fired) store.fired.set(rule, (store.fired.get(rule) || 0) + 1);
  }
  changed("entries");
}

export function forgetEntries() {
  store.entries.clear();
  store.order = [];
  changed("entries");
}

export const WRITES = /^(create|delete)_/;

/** An operation in few words: its virtual interfaces are the only interfaces there are. */
export function doing(operation) {
  return operation.replaceAll("_", " ").replace("virtual ", "");
}

/** How an entry went: way, ok, bad, cut or gone. */
export function fate(entry) {
  if (!entry.outcome) return "way";
  if (entry.outcome === "client_gone") return "gone";
  if (!entry.told || entry.outcome === "server_cut" || entry.told.spoiled) return "cut";
  return entry.told.status >= 400 ? "bad" : "ok";
}

/** Whether what the client was told is not what is true. */
export function gap(entry) {
  if (!entry.outcome || !WRITES.test(entry.operation)) return false;
  const well = entry.told && entry.told.status < 400 && !entry.told.spoiled;
  return well ? !entry.committed : entry.committed;
}

export function took(entry) {
  return entry.end === null ? null : entry.end - entry.arrived;
}

export function names() {
  const servers = new Map((store.state?.servers || []).map((one) => [one.id, one.name]));
  const networks = new Map((store.state?.networks || []).map((one) => [one.id, one.label]));
  networks.set("00000000-0000-0000-0000-000000000000", "public");
  networks.set("11111111-1111-1111-1111-111111111111", "private");
  return { servers, networks };
}
