// pkgcloud's Rackspace provider, driven as serving.py drives the others: a line in, a line out.
'use strict';

const readline = require('node:readline');
const { createRequire } = require('node:module');
const { compute } = createRequire(`${process.env.VIFSIM_MODULES}/`)('pkgcloud');

let client;

const promised = (method, ...args) =>
  new Promise((resolve, reject) => {
    client[method](...args, (error, value) => (error ? reject(error) : resolve(value)));
  });

const named = (things, key) => Object.fromEntries(things.map((one) => [one[key], one.id]));

const methods = {
  async log_in(how, secret) {
    client = compute.createClient({
      provider: 'rackspace',
      username: process.env.OS_USERNAME,
      [how === 'api_key' ? 'apiKey' : 'password']: secret,
      region: process.env.OS_REGION_NAME,
      authUrl: process.env.VIFSIM_URL,
    });
    await promised('auth');
  },
  servers: async () => named(await promised('getServers'), 'name'),
  networks: async () => named(await promised('getNetworks'), 'label'),
  async create_network(label, cidr) {
    const made = await promised('createNetwork', { label, cidr });
    return { id: made.id, label: made.label, cidr: made.cidr };
  },
  async delete_network(network) {
    await promised('deleteNetwork', network);
  },
  attach: async (server, network) => (await promised('createVirtualInterface', server, network))[0],
  interfaces: (server) => promised('getVirtualInterfaces', server),
  async detach(server, identity) {
    await promised('deleteVirtualInterface', server, identity);
  },
};

function refusal(error) {
  const fault = Object.values(error.result ?? {})[0];
  return {
    kind: error.failCode ?? error.name,
    status: error.statusCode ?? null,
    message: fault?.message ?? error.message,
    retry_after: error.headers?.['retry-after'] ?? null,
  };
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { do: method, args } = JSON.parse(line);
    let reply;
    try {
      reply = { value: (await methods[method](...args)) ?? null };
    } catch (error) {
      console.error(error);
      reply = { refusal: refusal(error) };
    }
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
}

main();
