// Scenarios: loaded, edited with the same strict errors as everywhere, and the world kept and restored.

import { ask, Refused } from "./api.js";
import { $, h, keep, toast } from "./dom.js";
import { forgetEntries, onChange, store } from "./store.js";

let shipped = [];
let edited = false;

function say(text, bad = false) {
  $("scenario-said").textContent = text;
  $("scenario-said").classList.toggle("bad", bad);
}

function showErrors(error) {
  const places = error instanceof Refused ? error.places : [];
  $("errors").replaceChildren(...places.map((place) => h("li", {},
    h("button", { type: "button", class: "place", onclick: () => goTo(place.line || 1, place.column || 1) },
      place.line ? `${place.line}:${place.column}` : "–"),
    h("span", {}, h("code", {}, place.at), ` ${place.detail}`, place.hint ? h("em", {}, ` (${place.hint})`) : null))));
  say(error.message, true);
}

function goTo(line, column) {
  const editor = $("editor");
  const lines = editor.value.split("\n");
  const at = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0) + column - 1;
  editor.focus();
  editor.setSelectionRange(at, at + Math.max(1, (lines[line - 1] || "").length - column + 1));
  editor.scrollTop = Math.max(0, (line - 4) * 20);
}

async function doing(action, done = "") {
  $("errors").replaceChildren();
  say("");
  try {
    await action();
    if (done) say(done);
  } catch (error) {
    showErrors(error);
  }
}

function chosen() {
  return shipped.find((one) => one.name === $("shipped").value);
}

export async function showScenario() {
  shipped = (await ask("GET", "scenarios")).scenarios;
  $("shipped").replaceChildren(...shipped.map((one) => h("option", { value: one.name }, one.name)));
  const describe = () => { $("shipped-text").textContent = chosen()?.description || ""; };
  $("shipped").addEventListener("change", describe);
  describe();
  $("editor").addEventListener("input", () => { edited = true; });
  $("scenario-load").addEventListener("click", () => doing(async () => {
    edited = false;
    await ask("PUT", `scenario?name=${encodeURIComponent($("shipped").value)}`);
  }, "Loaded."));
  $("scenario-edit").addEventListener("click", () => {
    $("editor").value = chosen()?.text || "";
    edited = true;
    $("errors").replaceChildren();
    say("A copy to edit: Apply lets it hold.");
    $("editor").focus();
  });
  $("scenario-apply").addEventListener("click", () => doing(async () => {
    await ask("PUT", "scenario", $("editor").value, "application/yaml");
    edited = false;
  }, "It holds from now on."));
  $("scenario-calm").addEventListener("click", () => doing(async () => {
    edited = false;
    await ask("PUT", "scenario", "version: 1\n", "application/yaml");
  }, "All faults have ended."));
  $("snapshot-save").addEventListener("click", () => doing(async () => {
    keep("snapshot.json", JSON.stringify(await ask("GET", "snapshot"), null, 1), "application/json");
  }, "Saved as snapshot.json."));
  $("snapshot-file").addEventListener("change", (event) => doing(async () => {
    const [file] = event.target.files;
    if (!file) return;
    await ask("PUT", "snapshot", await file.text());
    event.target.value = "";
    toast("Restored");
  }, "Restored."));
  $("journal-save").addEventListener("click", () => doing(async () => {
    keep("journal.ndjson", await ask("GET", "journal/export"), "application/x-ndjson");
  }, "Saved as journal.ndjson."));
  $("journal-clear").addEventListener("click", () => doing(async () => {
    await ask("DELETE", "journal");
    forgetEntries();
  }, "The journal is empty."));
  $("reset").addEventListener("click", () => doing(async () => {
    await ask("POST", "reset");
  }, "Everything is as at the start."));
  const draw = () => {
    if (!store.scenario) return;
    $("scenario-name").textContent = store.scenario.name;
    if (!edited) $("editor").value = store.scenario.text;
  };
  onChange(["scenario"], draw);
  draw();
}
