// Puts the page together: asks for what there is, then listens.

import { ask, listen } from "./api.js";
import { showCalls } from "./calls.js";
import { showClock } from "./clock.js";
import { $, toast } from "./dom.js";
import { showFaults } from "./faults.js";
import { showScenario } from "./scenario.js";
import { showScore } from "./score.js";
import { changed, fate, forgetEntries, now, onChange, setClock, setScenario, setState, store, takeEntry } from "./store.js";
import { showTimeline } from "./timeline.js";
import { showTopology } from "./topology.js";

function theme() {
  const root = document.documentElement;
  const saved = localStorage.getItem("vifsim-theme");
  if (saved) root.dataset.theme = saved;
  $("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("vifsim-theme", root.dataset.theme);
  });
}

function views(onScore) {
  const buttons = [...document.querySelectorAll("[data-goto]")];
  const go = (view) => {
    document.body.dataset.view = view;
    for (const button of buttons) {
      if (button.dataset.goto === view) button.setAttribute("aria-current", "page");
      else button.removeAttribute("aria-current");
    }
    if (view === "score") onScore();
    changed("tick", "entries");
  };
  for (const button of buttons) button.addEventListener("click", () => go(button.dataset.goto));
  go("calls");
}

function mood() {
  const box = $("mood");
  const set = (kind, text) => {
    box.dataset.mood = kind;
    if ($("mood-text").textContent !== text) $("mood-text").textContent = text;
  };
  if (!store.up) { set("down", "Not connected: trying again"); return; }
  const rules = (store.scenario?.rules || []).filter((rule) => rule.origin !== "documented");
  const recent = store.order.slice(-20).map((seq) => store.entries.get(seq)).filter((entry) => entry.arrived > now() - 15);
  const fired = recent.some((entry) => entry.decision && fate(entry) !== "ok");
  if (!rules.length) set("calm", "Calm");
  else if (fired) set("outage", `Faults at work · ${rules.length}`);
  else set("armed", `${rules.length} rule${rules.length > 1 ? "s" : ""} in force`);
}

async function timeline() {
  store.timeline = await ask("GET", "timeline");
  changed("tick");
}

async function everything() {
  const [state, scenario, clock, journal] = await Promise.all(
    ["state", "scenario", "clock", "journal?limit=10000"].map((path) => ask("GET", path)));
  const last = store.order.length ? store.order[store.order.length - 1] : 0;
  if (journal.last < last) forgetEntries();
  setState(state);
  setClock(clock);
  for (const entry of journal.entries) takeEntry(entry);
  setScenario(scenario);   // last: what fired so far is counted in it
  await timeline();
}

const events = {
  entry: (entry) => {
    takeEntry(entry);
    if (store.timeline.start === null && entry.outcome) timeline();
  },
  scenario: (document) => { setScenario(document); timeline(); },
  state: setState,
  clock: (clock) => {
    const again = clock.now < store.clock.now;   // only a reset turns it back
    setClock(clock);
    if (again) { forgetEntries(); everything(); }
  },
  dropped: () => everything(),
};

/** A world that changes by time alone is asked again while it does. */
function watchBuilding() {
  setInterval(async () => {
    const moving = store.up && !document.hidden && (store.state?.servers || []).some((one) => one.task_state || one.status === "BUILD");
    if (moving) setState(await ask("GET", "state"));
  }, 1000);
}

theme();
showClock();
showTopology();
showCalls();
showTimeline();
views(showScore());
onChange(["scenario", "entries", "up", "tick"], mood);
await Promise.all([showFaults(), showScenario()]).catch((error) => toast(error.message, true));
watchBuilding();
await listen((name, data) => events[name]?.(data), async (up) => {
  store.up = up;
  changed("up");
  if (up) await everything();
});
