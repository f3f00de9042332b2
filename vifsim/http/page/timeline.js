// The last two minutes and what is to come: calls, latency, phases, rules, over one axis.

import { $, duration, moment } from "./dom.js";
import { fate, now, onChange, store, took } from "./store.js";

const BEFORE = 96;      // seconds of real time behind now, and ahead of it
const AHEAD = 24;
const BUCKETS = 96;
const LANE = 18;
const figures = { rate: "–" };

function scale() {
  return store.clock.mode === "scaled" && store.clock.speed > 1 ? store.clock.speed : 1;
}

function esc(text) {
  return String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

function percentile(sorted, share) {
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : null;
}

/** Return the entries that arrived since `from`, newest last, and how many are under way. */
function recent(from) {
  const found = [];
  for (let at = store.order.length - 1; at >= 0; at -= 1) {
    const entry = store.entries.get(store.order[at]);
    if (entry.arrived < from - 60 * scale()) break;
    if (entry.arrived >= from) found.push(entry);
  }
  return found.reverse();
}

function buckets(entries, from, width) {
  const made = Array.from({ length: BUCKETS }, () => ({ ok: 0, bad: 0, cut: 0, all: 0, times: [] }));
  for (const entry of entries) {
    const bucket = made[Math.floor((entry.arrived - from) / width)];
    if (!bucket) continue;
    const how = fate(entry);
    bucket.all += 1;
    if (how === "ok" || how === "bad") bucket[how] += 1;
    else if (how !== "way") bucket.cut += 1;
    const time = took(entry);
    if (time !== null) bucket.times.push(time);
  }
  return made;
}

function bars(made, x, step, height) {
  const most = Math.max(4, ...made.map((bucket) => bucket.all));
  let svg = "";
  made.forEach((bucket, at) => {
    let y = height;
    for (const kind of ["ok", "bad", "cut"]) {
      const tall = (bucket[kind] / most) * (height - 12);
      if (!tall) continue;
      y -= tall;
      svg += `<rect class="${kind}" x="${(x(at) + 0.5).toFixed(1)}" y="${y.toFixed(1)}" width="${Math.max(1, step - 1).toFixed(1)}" height="${tall.toFixed(1)}"/>`;
    }
  });
  return { svg, most };
}

function latency(made, x, step, top, height) {
  const y = (time) => top + height - ((Math.log10(Math.min(30, Math.max(0.001, time))) + 3) / 4.5) * height;
  let path = "";
  let open = false;
  made.forEach((bucket, at) => {
    const time = percentile(bucket.times.sort((a, b) => a - b), 0.95);
    if (time === null) { open = false; return; }
    path += `${open ? "L" : "M"}${(x(at) + step / 2).toFixed(1)} ${y(time).toFixed(1)}${open ? "" : `h.1`}`;
    open = true;
  });
  const lines = [0.01, 0.1, 1].map((time) => `<line class="grid" x1="0" x2="100%" y1="${y(time).toFixed(1)}" y2="${y(time).toFixed(1)}"/><text x="4" y="${(y(time) - 2).toFixed(1)}">${time < 1 ? `${time * 1000} ms` : `${time} s`}</text>`).join("");
  return `${lines}<path class="p95" d="${path}"/>`;
}

function lanes(entries, place, y, width) {
  const { start, phases, rules } = store.timeline;
  let svg = "";
  const clip = (at) => Math.max(0, Math.min(width, at));
  if (phases.length && start !== null) {
    for (const phase of phases) {
      const left = clip(place(start + phase.from));
      const right = clip(place(start + phase.to));
      if (right - left < 1) continue;
      svg += `<rect class="phase" x="${left.toFixed(1)}" y="${y + 2}" width="${(right - left).toFixed(1)}" height="${LANE - 4}" rx="3"/>${right - left > 7 * phase.name.length + 8 ? `<text class="on" x="${(left + 6).toFixed(1)}" y="${y + 13}">${esc(phase.name)}</text>` : ""}`;
    }
    y += LANE;
  }
  const firing = new Map();
  for (const entry of entries) {
    for (const rule of entry.decision?.fired || []) {
      if (!firing.has(rule)) firing.set(rule, []);
      firing.get(rule).push(place(entry.arrived));
    }
  }
  const shown = rules.filter((rule) => !rule.id.startsWith("documented-")).slice(0, 5);
  for (const rule of shown) {
    const stretches = start === null || !rule.stretches.length ? [[-1e9, 1e9]] : rule.stretches.map((pair) => [start + pair[0], start + pair[1]]);
    for (const [from, to] of stretches) {
      const left = clip(place(from));
      const right = clip(place(to));
      if (right > left) svg += `<rect class="active" x="${left.toFixed(1)}" y="${y + 3}" width="${(right - left).toFixed(1)}" height="${LANE - 6}" rx="3"/>`;
    }
    let last = -9;
    for (const at of firing.get(rule.id) || []) {
      if (at - last < 2) continue;
      last = at;
      svg += `<rect class="fired ${rule.fault}" x="${(at - 1).toFixed(1)}" y="${y + 3}" width="2" height="${LANE - 6}"/>`;
    }
    svg += `<text class="lane" x="6" y="${y + 13}">${esc(rule.id.replace("console-", ""))}</text>`;
    y += LANE;
  }
  return { svg, y };
}

function draw() {
  const box = $("timeline");
  const width = box.clientWidth;
  if (!width) return;
  const factor = scale();
  const t = now();
  const step = factor * (BEFORE / BUCKETS);
  const from = Math.floor((t - BEFORE * factor) / step) * step;
  const unit = width / ((BEFORE + AHEAD) * factor);
  const place = (at) => (at - (t - BEFORE * factor)) * unit;
  const x = (at) => place(from + at * step);
  const entries = recent(from);
  const made = buckets(entries, from, step);
  const high = 58;
  const low = 58;
  const calls = bars(made, x, step * unit, high);
  const rest = lanes(entries, place, high + low + 6, width);
  const height = rest.y + 16;
  const here = place(t);
  const ticks = [-90, -60, -30, 0].map((at) => `<text class="tick" x="${place(t + at * factor).toFixed(1)}" y="${height - 4}" text-anchor="middle">${at ? `−${duration(-at * factor)}` : "now"}</text>`).join("");
  box.innerHTML = `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" aria-hidden="true"><text x="4" y="11">${Math.round(calls.most / (BEFORE / BUCKETS))} calls / s</text>${calls.svg}${latency(made, x, step * unit, high + 4, low - 4)}${rest.svg}<line class="now" x1="${here.toFixed(1)}" x2="${here.toFixed(1)}" y1="0" y2="${height - 14}"/>${ticks}</svg>`;
  showFigures(entries, t, factor);
  box.setAttribute("aria-label", `Calls over the last ${BEFORE} seconds: ${figures.rate} a second, at ${moment(t)}.`);
}

function showFigures(entries, t, factor) {
  const minute = entries.filter((entry) => entry.arrived >= t - 60 * factor);
  const times = minute.map(took).filter((time) => time !== null).sort((a, b) => a - b);
  const ended = minute.filter((entry) => entry.outcome);
  const bad = ended.filter((entry) => fate(entry) !== "ok").length;
  const ten = minute.filter((entry) => entry.arrived >= t - 10 * factor).length;
  const way = entries.filter((entry) => !entry.outcome).length;
  figures.rate = (ten / 10).toFixed(ten >= 100 || !ten ? 0 : 1);
  const share = ended.length ? (bad / ended.length) * 100 : 0;
  const set = (id, text, alarm = false) => {
    const cell = $(id);
    if (cell.textContent !== text) cell.textContent = text;
    cell.classList.toggle("alarm", alarm);
  };
  set("fig-rate", figures.rate);
  set("fig-bad", `${share.toFixed(share && share < 10 ? 1 : 0)} %`, share >= 5);
  set("fig-p50", duration(percentile(times, 0.5)));
  set("fig-p95", duration(percentile(times, 0.95)));
  set("fig-p99", duration(percentile(times, 0.99)), (percentile(times, 0.99) || 0) >= 1);
  set("fig-way", String(way), way > 20);
}

export function showTimeline() {
  onChange(["tick", "entries", "scenario", "clock"], draw);
  new ResizeObserver(draw).observe($("timeline"));
}
