// How well each client copes: asked for only while it is looked at.

import { ask } from "./api.js";
import { open } from "./calls.js";
import { $, h } from "./dom.js";
import { store } from "./store.js";

const WEIGHTS = ["critical", "major", "minor"];
const ORDER = ["fail", "pass", "not_exercised"];
let last = -1;
let soonest = 0;
let opened = new Set();

function words(name) {
  return name.replaceAll("_", " ");
}

function entriesOf(rule) {
  const seqs = [...new Set(rule.evidence.flatMap((piece) => piece.entries || []))].slice(0, 8);
  return seqs.map((seq) => h("button", { type: "button", class: "small", "aria-label": `Open call ${seq}`, onclick: () => open(seq) }, `#${seq}`));
}

function failure([name, rule]) {
  return h("li", { class: `verdict ${rule.verdict} ${rule.severity}` },
    h("p", { class: "head" }, h("b", {}, words(name)), h("span", { class: "weight" }, rule.severity), h("span", { class: "dim" }, rule.code)),
    h("p", {}, rule.reason),
    rule.advice ? h("p", { class: "advice" }, rule.advice) : null,
    h("p", { class: "row tight" }, entriesOf(rule)));
}

function card(one) {
  const rules = Object.entries(one.scorecard.rules).sort(([, a], [, b]) =>
    ORDER.indexOf(a.verdict) - ORDER.indexOf(b.verdict) || WEIGHTS.indexOf(a.severity) - WEIGHTS.indexOf(b.severity));
  const of = (verdict) => rules.filter(([, rule]) => rule.verdict === verdict);
  const failed = of("fail");
  const passed = of("pass");
  const silent = of("not_exercised");
  const { grade } = one.scorecard;
  const key = `${one.client} ${one.host}`;
  const more = h("details", { open: opened.has(key), ontoggle: (event) => { if (event.target.open) opened.add(key); else opened.delete(key); } },
    h("summary", {}, `${passed.length} passed · ${silent.length} not exercised`),
    h("ul", { class: "plain" }, passed.map(([name]) => h("li", {}, h("span", { class: "tick", "aria-hidden": "true" }, "✓ "), words(name))),
      silent.map(([name]) => h("li", { class: "dim" }, `· ${words(name)}`))));
  return h("article", { class: "client" },
    h("header", {},
      h("div", { class: `grade g${grade || "none"}`, title: grade ? `grade ${grade}` : "fewer than five rules were exercised" }, grade || "–", h("span", { class: "sr" }, grade ? " grade" : " no grade yet")),
      h("div", {}, h("h3", {}, one.client), h("p", { class: "dim" }, `${one.host} · ${one.calls} calls`)),
      h("div", { class: "tally" },
        h("span", { class: "n bad" }, `${failed.length} failed`), h("span", { class: "n ok" }, `${passed.length} passed`))),
    failed.length ? h("ul", { class: "plain verdicts" }, failed.map(failure)) : h("p", { class: "dim" }, grade || passed.length ? "Nothing failed so far." : "Nothing has been exercised yet: switch a fault on."),
    more);
}

function draw(clients) {
  const worst = clients.map((one) => one.scorecard.grade).filter(Boolean).sort().pop();
  $("score-badge").hidden = !worst;
  $("score-badge").textContent = worst || "";
  const order = [...clients].sort((a, b) => b.last - a.last);
  $("scores").replaceChildren(...(order.length ? order.map(card) : [h("p", { class: "dim" }, "No client has called yet.")]));
}

/** Ask again where there is news, and never spend more than a twentieth of the time on it. */
async function look() {
  const seq = store.order.length ? store.order[store.order.length - 1] : 0;
  const watched = document.body.dataset.view === "score" && !document.hidden;
  if (!watched || !store.up || seq === last || performance.now() < soonest || $("scores").contains(document.activeElement)) return;
  const began = performance.now();
  last = seq;
  soonest = Infinity;
  try {
    draw((await ask("GET", "clients")).clients);
  } finally {
    soonest = performance.now() + Math.max(1000, (performance.now() - began) * 20);
  }
}

export function showScore() {
  setInterval(look, 500);
  return () => { last = -1; soonest = 0; look(); };
}
