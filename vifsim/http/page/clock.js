// The clock: shown, paused, sped up, moved ahead.

import { ask } from "./api.js";
import { $, moment, toast } from "./dom.js";
import { changed, now, onChange, setClock, store } from "./store.js";

async function steer(method, path, body) {
  try {
    setClock(await ask(method, path, body));
  } catch (error) {
    toast(error.message, true);
  }
}

function speedOf(value) {
  return value === "1" ? { mode: "real" } : { mode: "scaled", speed: Number(value) };
}

export function showClock() {
  const toggle = $("clock-toggle");
  const speed = $("clock-speed");
  toggle.addEventListener("click", () => {
    const paused = store.clock.mode === "manual";
    steer("PUT", "clock", paused ? speedOf(speed.value) : { mode: "manual" });
  });
  speed.addEventListener("change", () => steer("PUT", "clock", speedOf(speed.value)));
  for (const button of document.querySelectorAll("[data-advance]")) {
    button.addEventListener("click", () => steer("POST", "clock/advance", { by: button.dataset.advance }));
  }
  onChange(["clock"], () => {
    const paused = store.clock.mode === "manual";
    toggle.setAttribute("aria-pressed", String(paused));
    toggle.title = paused ? "Let the clock run" : "Pause the clock";
    toggle.firstElementChild.textContent = paused ? "▶" : "❚❚";
    $("clock-toggle-text").textContent = paused ? "Run" : "Pause";
    document.body.classList.toggle("paused", paused);
    const wanted = String(store.clock.mode === "scaled" ? store.clock.speed : 1);
    if (!paused && [...speed.options].some((option) => option.value === wanted)) speed.value = wanted;
    tick();
  });
  setInterval(() => { tick(); if (!document.hidden) changed("tick"); }, 250);
}

function tick() {
  $("clock-now").textContent = moment(now());
}
