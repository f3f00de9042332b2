// The OpenAPI document, made readable: each operation with its parameters, bodies and refusals.

import { ask } from "./api.js";
import { $, h } from "./dom.js";

const NAMES = { compute: "Servers and networks", identity: "Identity", version: "Versions", control: "Control API" };
let spec = {};

function resolve(thing) {
  const parts = thing?.$ref?.split("/").slice(1);
  return parts ? parts.reduce((at, part) => at[part], spec) : thing;
}

/** Return a JSON-like sketch of a schema. */
function sketch(schema, depth = 0, above = []) {
  const name = schema?.$ref?.split("/").pop();
  if (name && (above.includes(name) || depth > 4)) return name;
  const found = resolve(schema) || {};
  const trail = name ? [...above, name] : above;
  const pad = "  ".repeat(depth + 1);
  if (found.properties) {
    const needed = new Set(found.required || []);
    const lines = Object.entries(found.properties).map(([key, value]) => `${pad}${key}${needed.has(key) ? "" : "?"}: ${sketch(value, depth + 1, trail)}`);
    return lines.length ? `{\n${lines.join("\n")}\n${"  ".repeat(depth)}}` : "{}";
  }
  if (found.items) return `[${sketch(found.items, depth, trail)}]`;
  for (const key of ["anyOf", "oneOf"]) if (found[key]) return [...new Set(found[key].map((one) => sketch(one, depth, trail)))].join(" | ");
  if (found.enum) return found.enum.map((value) => JSON.stringify(value)).join(" | ");
  if ("const" in found) return JSON.stringify(found.const);
  const kind = [found.type || "anything"].flat().join(" | ");
  return found.format ? `${kind} (${found.format})` : kind;
}

function content(title, part) {
  const kinds = Object.entries(resolve(part)?.content || {});
  const first = kinds.find(([, one]) => one.schema) || kinds[0];
  if (!first) return [];
  return [h("h3", {}, title, " ", h("span", { class: "dim" }, kinds.map(([kind]) => kind).join(", "))), h("pre", { tabIndex: 0 }, sketch(first[1].schema))];
}

function parameters(list) {
  if (!list.length) return [];
  return [h("h3", {}, "Parameters"), h("table", {}, list.map(resolve).map((one) => h("tr", {},
    h("th", { scope: "row" }, h("code", {}, one.name)), h("td", {}, one.in), h("td", {}, one.required ? "needed" : "may be left out"), h("td", {}, h("code", {}, sketch(one.schema))))))];
}

function answers(responses) {
  const rows = Object.entries(responses);
  const good = rows.find(([status]) => status.startsWith("2"));
  return [
    ...(good ? content(`Answer ${good[0]}`, good[1]) : []),
    h("h3", {}, "Statuses"),
    h("table", {}, rows.map(([status, one]) => h("tr", {}, h("th", { scope: "row" }, status), h("td", {}, resolve(one).description)))),
  ];
}

function section({ method, path, operation }) {
  return h("article", { class: "operation", id: operation.operationId },
    h("h2", {}, operation.summary),
    h("p", { class: "path" }, h("span", { class: `verb ${method}` }, method.toUpperCase()), " ", path),
    h("p", { class: "dim" }, h("code", {}, operation.operationId)),
    parameters(operation.parameters || []), content("Body", operation.requestBody), answers(operation.responses));
}

function draw(all, words) {
  const found = all.filter((one) => words.every((word) => one.text.includes(word)));
  const byTag = Map.groupBy(found, (one) => one.operation.tags[0]);
  $("contents").replaceChildren(...[...byTag].flatMap(([tag, some]) => [
    h("h2", {}, NAMES[tag] || tag),
    ...some.map((one) => h("a", { href: `#${one.operation.operationId}` }, h("span", { class: `verb ${one.method}` }, one.method.toUpperCase()), one.operation.operationId))]));
  $("operations").replaceChildren(...(found.length ? found.map(section) : [h("p", { class: "dim" }, "No operation has all these words.")]));
}

try {
  spec = await ask("GET", "openapi.json");
  const all = Object.entries(spec.paths).flatMap(([path, item]) => Object.entries(item)
    .filter(([, operation]) => operation.operationId && !operation.operationId.endsWith(".in_tenant"))
    .map(([method, operation]) => ({ method, path, operation, text: `${method} ${path} ${operation.operationId} ${operation.summary} ${Object.keys(operation.responses).join(" ")}`.toLowerCase() })));
  $("find").addEventListener("input", () => draw(all, $("find").value.toLowerCase().split(/\s+/).filter(Boolean)));
  draw(all, []);
} catch (error) {
  $("operations").replaceChildren(h("p", {}, error.message));
}
