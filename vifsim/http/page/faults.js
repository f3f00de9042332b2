// Faults by hand: switches for the common ones, and every rule that is read.

import { ask } from "./api.js";
import { $, h, toast } from "./dom.js";
import { onChange, store } from "./store.js";

const PREFIX = "console-";
const stopped = new Map();   // rules that were switched off here: id → source
let catalogue = [];

async function doing(action) {
  try {
    await action();
  } catch (error) {
    toast(error.message, true);
  }
}

function on(id) {
  return Boolean(store.scenario?.rules.some((rule) => rule.id === id));
}

function toggle(fault) {
  const id = PREFIX + fault.key;
  return doing(() => (on(id)
    ? ask("DELETE", `rules/${encodeURIComponent(id)}`)
    : ask("POST", "rules", { name: id, ...fault.rule })));
}

function drawSwitches() {
  const box = $("switches");
  if (!box.children.length) {
    box.append(...catalogue.map((fault) => h("button", {
      type: "button", class: "switch", role: "switch", "aria-checked": "false", id: `switch-${fault.key}`, onclick: () => toggle(fault),
    }, h("span", { class: "knob", "aria-hidden": "true" }), h("span", { class: "what" }, h("b", {}, fault.title), h("span", { class: "dim" }, fault.text)))));
  }
  for (const fault of catalogue) $(`switch-${fault.key}`).setAttribute("aria-checked", String(on(PREFIX + fault.key)));
}

function summary(rule) {
  const { name, ...rest } = rule;
  return JSON.stringify(rest).slice(1, -1).replaceAll('"', "").replaceAll(",", ", ").replaceAll(":", ": ");
}

function ruleRow(rule) {
  const fired = rule.fired + (store.fired.get(rule.id) || 0);
  return h("div", { class: `rule-row${fired ? " hot" : ""}` },
    h("div", {}, h("b", { class: "rule" }, rule.id.replace(PREFIX, "")), h("span", { class: "dim" }, ` ${rule.id.startsWith(PREFIX) ? "switched on here" : rule.origin}`)),
    h("code", {}, summary(rule.rule)),
    h("div", { class: "row tight" },
      h("span", { class: "fired-count" }, `fired ${fired} ×`),
      h("button", { type: "button", class: "small", "aria-label": `Switch ${rule.id} off`, onclick: () => doing(async () => {
        stopped.set(rule.id, rule.rule);
        await ask("DELETE", `rules/${encodeURIComponent(rule.id)}`);
      }) }, "Switch off")));
}

function stoppedRow([id, source]) {
  return h("div", { class: "rule-row off" },
    h("div", {}, h("b", { class: "rule" }, id), h("span", { class: "dim" }, " switched off")),
    h("div", { class: "row tight" }, h("button", { type: "button", class: "small", onclick: () => doing(async () => {
      await ask("POST", "rules", { name: id, ...source });
      stopped.delete(id);
    }) }, "Switch on")));
}

function draw() {
  if (!store.scenario) return;
  drawSwitches();
  const rules = store.scenario.rules;
  for (const rule of rules) stopped.delete(rule.id);
  const off = [...stopped].filter(([id]) => !id.startsWith(PREFIX));
  $("rules").replaceChildren(
    ...rules.map(ruleRow), ...off.map(stoppedRow),
    ...(rules.length || off.length ? [] : [h("p", { class: "dim" }, "None: the cloud behaves.")]));
}

export async function showFaults() {
  catalogue = await (await fetch("page/faults.json")).json();
  let slow = 0;
  onChange(["scenario"], draw);
  onChange(["entries"], () => {
    clearTimeout(slow);
    slow = setTimeout(() => { if (!$("rules").contains(document.activeElement)) draw(); }, 300);
  });
}
