// The control API, and its stream of events. Nothing else is ever asked.

import { $ } from "./dom.js";

let token = sessionStorage.getItem("vifsim-token");
let asking = null;

export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title || "refused");
    this.status = problem.status;
    this.places = problem.errors || [];
  }
}

function headers(more = {}) {
  return token ? { Authorization: `Bearer ${token}`, ...more } : more;
}

/** Ask for the token once, whoever needs it. */
function askToken() {
  asking ??= new Promise((done) => {
    const dialog = $("token-ask");
    dialog.addEventListener("close", () => {
      token = $("token").value.trim();
      sessionStorage.setItem("vifsim-token", token);
      asking = null;
      done();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

async function send(path, options) {
  for (;;) {
    const response = await fetch(path, { ...options, headers: headers(options.headers), cache: "no-store" });
    if (response.status !== 401) return response;
    await askToken();
  }
}

/** Ask the control API; returns what it answers, or raises Refused. */
export async function ask(method, path, body = undefined, type = "application/json") {
  const options = { method };
  if (body !== undefined) {
    options.body = typeof body === "string" ? body : JSON.stringify(body);
    options.headers = { "Content-Type": type };
  }
  const response = await send(path, options);
  const text = await response.text();
  const json = (response.headers.get("Content-Type") || "").includes("json") && !path.endsWith("export");
  const document = json && text ? JSON.parse(text) : text;
  if (!response.ok) throw new Refused(json ? document : { status: response.status, detail: text });
  return document;
}

/** Call `on(name, data)` for each event, `state(up)` when the stream opens or breaks; for ever. */
export async function listen(on, state) {
  for (;;) {
    try {
      const response = await send("events?pace=60ms&brief=true", { method: "GET" });
      if (!response.ok) throw new Error(`events: ${response.status}`);
      await state(true);
      await read(response.body, on);
    } catch (error) {
      if (!(error instanceof TypeError) && error.name !== "AbortError") console.warn(error.message);
    }
    await state(false);
    await new Promise((done) => { setTimeout(done, 1000); });
  }
}

async function read(body, on) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      if (lines.length < 2) continue;
      on(lines[0].slice(7), JSON.parse(lines[1].slice(6)));
    }
  }
}
