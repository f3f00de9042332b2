// The stream of calls: only the rows in sight exist, so ten thousand cost no more than twenty.

import { ask } from "./api.js";
import { $, duration, h, keep, moment, toast } from "./dom.js";
import { doing, fate, gap, names, onChange, store, took, WRITES } from "./store.js";

const FILTERS = {
  all: () => true,
  fault: (entry) => entry.decision !== null,
  gap,
  way: (entry) => !entry.outcome,
};
const FATES = { way: "under way", gone: "client left", cut: "no answer" };
const pool = [];
let filter = "all";
let shown = [];        // seqs, newest first
let selected = null;
let top = 0;           // the seq that was first when the list was last drawn

function rowHeight() {
  return window.matchMedia("(max-width: 900px)").matches ? 58 : 34;
}

export function told(entry) {
  const how = fate(entry);
  if (how === "cut" && entry.told) return `${entry.told.status}, spoiled`;
  if (how === "bad" && entry.told.retry_after !== null) return `${entry.told.status} · ${duration(entry.told.retry_after)}`;
  return FATES[how] || String(entry.told.status);
}

export function truth(entry) {
  if (entry.effects.length) {
    const [first] = entry.effects;
    const more = entry.effects.length > 1 ? ` +${entry.effects.length - 1}` : "";
    return `${first.kind} ${first.object.replace("virtual_", "")}${more}`;
  }
  if (!entry.outcome) return "…";
  return WRITES.test(entry.operation) ? "no change" : "–";
}

export function decided(entry) {
  const made = entry.decision;
  if (!made) return "";
  const what = [];
  if (made.fault) what.push(String(made.fault));
  if (made.wire) what.push(made.wire.replace("_", " "));
  if (made.delay_before + made.delay_after > 0.0005) what.push(`+${duration(made.delay_before + made.delay_after)}`);
  if (made.at === "after_commit" && (made.fault || made.wire)) what.push("after commit");
  return what.join(" · ") || "fired";
}

function target(entry, known) {
  if (entry.operation === "unknown") return `${entry.method} ${entry.path}`;
  const parts = [];
  if (entry.server) parts.push(known.servers.get(entry.server) || entry.server.slice(0, 8));
  if (entry.network) parts.push(known.networks.get(entry.network) || entry.network.slice(0, 8));
  return parts.join(" → ");
}

function makeRow() {
  const cells = ["seq", "at", "op", "why", "told", "true", "took"].map((name) => h("span", { class: `c ${name}` }));
  const row = h("div", { class: "call", role: "option" }, cells);
  row.addEventListener("click", () => { select(Number(row.dataset.seq)); open(selected); });
  $("calls-space").append(row);
  return { row, cells };
}

function fill({ row, cells }, seq, at, known) {
  const entry = store.entries.get(seq);
  const how = fate(entry);
  const rule = entry.decision?.by || entry.decision?.fired[0] || "";
  row.dataset.seq = String(seq);
  row.id = `call-${seq}`;
  row.className = `call ${how}${gap(entry) ? " gap" : ""}${seq === selected ? " selected" : ""}`;
  row.setAttribute("aria-selected", String(seq === selected));
  row.setAttribute("aria-posinset", String(at + 1));
  row.setAttribute("aria-setsize", String(shown.length));
  row.style.transform = `translateY(${at * rowHeight()}px)`;
  const texts = [`${seq}`, moment(entry.arrived), "", "", told(entry), truth(entry), duration(took(entry))];
  cells.forEach((cell, index) => { if (cell.textContent !== texts[index]) cell.textContent = texts[index]; });
  cells[2].replaceChildren(h("b", {}, doing(entry.operation)), " ", h("span", { class: "dim" }, target(entry, known)));
  cells[3].replaceChildren(rule ? h("span", { class: "rule" }, rule.replace("console-", "")) : "", rule ? " " : "", h("span", { class: "dim" }, decided(entry)));
}

function draw() {
  const list = $("calls-list");
  const height = rowHeight();
  const keepAll = FILTERS[filter];
  shown = [];
  for (let at = store.order.length - 1; at >= 0; at -= 1) {
    const seq = store.order[at];
    if (keepAll(store.entries.get(seq))) shown.push(seq);
  }
  if (list.scrollTop > 4 && top) {
    // Whoever reads further down keeps what they read in sight.
    const moved = shown.indexOf(top);
    if (moved > 0) list.scrollTop += moved * height;
  }
  top = shown[0] || 0;
  $("calls-space").style.height = `${shown.length * height}px`;
  $("calls-count").textContent = store.order.length ? `${shown.length === store.order.length ? "" : `${shown.length} of `}${store.order.length}` : "";
  $("calls-empty").hidden = store.order.length > 0;
  paint();
}

function paint() {
  const list = $("calls-list");
  const height = rowHeight();
  const first = Math.max(0, Math.floor(list.scrollTop / height) - 4);
  const count = Math.min(shown.length - first, Math.ceil(list.clientHeight / height) + 8);
  while (pool.length < count) pool.push(makeRow());
  const known = names();
  pool.forEach((made, index) => {
    made.row.hidden = index >= count;
    if (index < count) fill(made, shown[first + index], first + index, known);
  });
  if (selected !== null) list.setAttribute("aria-activedescendant", `call-${selected}`);
}

function select(seq) {
  selected = seq;
  const list = $("calls-list");
  const at = shown.indexOf(seq) * rowHeight();
  if (at < list.scrollTop) list.scrollTop = at;
  else if (at + rowHeight() > list.scrollTop + list.clientHeight) list.scrollTop = at + rowHeight() - list.clientHeight;
  paint();
}

const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

function onKey(event) {
  if (event.key in STEPS && shown.length) {
    event.preventDefault();
    const at = shown.indexOf(selected);
    const to = at < 0 && event.key !== "End" ? 0 : Math.min(shown.length - 1, Math.max(0, at + STEPS[event.key]));
    select(shown[to]);
  } else if ((event.key === "Enter" || event.key === " ") && selected !== null) {
    event.preventDefault();
    open(selected);
  }
}

// ── one call ──

function fact(name, ...value) {
  return [h("dt", {}, name), h("dd", {}, ...value)];
}

function looksOf(document) {
  const text = (look) => {
    if (look.fired) return "fired";
    if (typeof look.detail === "object") return `drew ${look.detail.draw}, needed less than ${look.detail.threshold}`;
    return look.detail || look.stopped_at;
  };
  return h("ol", { class: "looks" }, document.looks.map((look) =>
    h("li", { class: look.fired ? "fired" : "" }, h("span", { class: "rule" }, look.rule), ` ${text(look)}`)));
}

async function act(button, doing) {
  button.disabled = true;
  try {
    await doing();
  } catch (error) {
    toast(error.message, true);
  }
  button.disabled = false;
}

/** Return the whole entry: the stream tells only what the list shows. */
async function whole(seq) {
  const { entries: [entry] } = await ask("GET", `journal?since=${seq - 1}&limit=1`);
  if (entry?.seq !== seq) throw new Error(`entry ${seq} is not in the journal any more`);
  return entry;
}

export async function open(seq) {
  let entry;
  try {
    entry = await whole(seq);
  } catch (error) {
    toast(error.message, true);
    return;
  }
  const dialog = $("detail");
  const how = fate(entry);
  const looks = h("div", {});
  const export_ = (part, name) => async () => {
    const made = await ask("GET", `moments/${seq}`);
    keep(name(made), made[part]);
    toast(`${name(made)} holds the moment before call ${seq}`);
  };
  dialog.replaceChildren(
    h("header", {},
      h("h2", { id: "detail-h" }, `Call ${seq} `, h("span", { class: "dim" }, doing(entry.operation))),
      h("button", { type: "button", class: "icon", title: "Close", onclick: () => dialog.close() }, h("span", { "aria-hidden": "true" }, "✕"), h("span", { class: "sr" }, "Close"))),
    h("div", { class: "sides" },
      h("div", { class: `side ${how}` }, h("h3", {}, "Told"), h("p", {}, told(entry)), h("p", { class: "dim" }, entry.told ? `${entry.told.bytes} bytes` : "no status line")),
      h("div", { class: `side ${gap(entry) ? "gap" : ""}` }, h("h3", {}, "True"), h("p", {}, truth(entry)), h("p", { class: "dim" }, gap(entry) ? "not what the client was told" : "as the client was told"))),
    h("dl", { class: "facts" },
      fact("asked", h("code", {}, `${entry.method} ${entry.path}`)),
      fact("decided", entry.decision ? `${entry.decision.fired.join(", ")}: ${decided(entry)}` : "no rule fired"),
      fact("arrived", `${moment(entry.arrived, 3)}, took ${duration(took(entry))}`),
      fact("who", `${entry.user || "nobody"} from ${entry.peer}, connection ${entry.conn}, arrival ${entry.n} of its kind`),
      fact("id", h("code", {}, entry.id))),
    h("h3", {}, "Each rule's look at it"), looks,
    h("div", { class: "row" },
      h("button", { type: "button", class: "primary", id: "rewind", onclick: (event) => act(event.currentTarget, async () => {
        await ask("POST", "rewind", { before: seq });
        dialog.close();
        toast(`World and rules are as they were before call ${seq}`);
      }) }, "Rewind to before this call"),
      h("button", { type: "button", id: "export-scenario", onclick: (event) => act(event.currentTarget, export_("scenario", (made) => `${made.name}.yaml`)) }, "Export as scenario"),
      h("button", { type: "button", id: "export-test", onclick: (event) => act(event.currentTarget, export_("test", (made) => `test_${made.name.replaceAll("-", "_")}.py`)) }, "Export as test")));
  dialog.showModal();
  try {
    looks.replaceChildren(looksOf(await ask("GET", `explain/${seq}`)));
    if (!looks.querySelector("li")) looks.replaceChildren(h("p", { class: "dim" }, "There were no rules."));
  } catch (error) {
    looks.replaceChildren(h("p", { class: "dim" }, error.message));
  }
}

export function showCalls() {
  const list = $("calls-list");
  list.addEventListener("scroll", paint, { passive: true });
  list.addEventListener("keydown", onKey);
  new ResizeObserver(draw).observe(list);
  for (const button of document.querySelectorAll("[data-filter]")) {
    button.addEventListener("click", () => {
      filter = button.dataset.filter;
      for (const other of document.querySelectorAll("[data-filter]")) other.setAttribute("aria-pressed", String(other === button));
      list.scrollTop = 0;
      draw();
    });
  }
  $("try-me").textContent = `curl -H 'X-Auth-Token: demo-token' ${window.location.origin}/os-networksv2`;
  onChange(["entries", "state"], draw);
}
