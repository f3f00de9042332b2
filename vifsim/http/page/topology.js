// Servers are rows, networks are rails, an interface is a dot where they meet.

import { $, h } from "./dom.js";
import { names, onChange, store } from "./store.js";

let seen = null;

function networksNow() {
  const { networks } = names();
  const used = new Map([
    ["00000000-0000-0000-0000-000000000000", "public"],
    ["11111111-1111-1111-1111-111111111111", "private"],
  ]);
  for (const [id, label] of networks) used.set(id, label);
  return [...used];
}

function interfacesNow() {
  const cells = new Map();
  const { servers, networks } = names();
  const byName = new Map([...servers].map(([id, name]) => [name, id]));
  const byLabel = new Map([...networks].map(([id, label]) => [label, id]));
  for (const one of store.state.virtual_interfaces) {
    const server = servers.has(one.server) ? one.server : byName.get(one.server);
    const network = networks.has(one.network) ? one.network : byLabel.get(one.network);
    cells.set(`${server} ${network}`, one);
  }
  return cells;
}

function mark(server, network, cells) {
  const one = cells.get(`${server.id} ${network[0]}`);
  if (!one) return h("td", { class: "none" }, h("span", { class: "sr" }, "not attached"));
  const address = one.addresses.find((text) => !text.includes(":")) || one.addresses[0] || "";
  const fresh = seen !== null && !seen.has(one.id);
  return h("td", { title: `${one.addresses.join("\n")}\n${one.mac_address}\n${one.id}` },
    h("span", { class: `vif${fresh ? " fresh" : ""}` }), h("span", { class: "ip" }, address));
}

function draw() {
  if (!store.state) return;
  const rails = networksNow();
  const cells = interfacesNow();
  const head = h("tr", {}, h("td", {}), rails.map(([id, label], at) =>
    h("th", { scope: "col", class: `rail r${at % 6}`, title: id }, h("span", { class: "label" }, label))));
  const rows = store.state.servers.map((server) => h("tr", {},
    h("th", { scope: "row" },
      h("span", { class: "server" }, server.name),
      h("span", { class: `state ${server.status.toLowerCase()}` }, server.task_state ? `${server.status} · ${server.task_state}` : server.status)),
    rails.map((network, at) => {
      const cell = mark(server, network, cells);
      cell.classList.add(`r${at % 6}`);
      return cell;
    })));
  const table = h("table", { class: "rails" }, h("thead", {}, head), h("tbody", {}, rows));
  $("topology").replaceChildren(table);
  const count = store.state.virtual_interfaces.length;
  $("cloud-count").textContent = `${store.state.servers.length} servers, ${count} interfaces`;
  seen = new Set(store.state.virtual_interfaces.map((one) => one.id));
}

export function showTopology() {
  onChange(["state"], draw);
}
