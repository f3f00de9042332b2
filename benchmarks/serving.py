"""The servers that are compared, each run as a process: `python -m benchmarks.serving NAME`.

`bare` is what the same JSON work costs in an aiohttp handler by hand: no authentication, no
request ids, no journal, no scenario. The house rule: nothing in it is slower than need be.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import uuid
from typing import Any

from aiohttp import web

from vifsim.simulator import Simulator

SERVERS = 2000
DELAY = 0.25
"""Seconds that `sleeping` and `delayed` wait before they answer."""
PARKED = 5.0
"""Seconds that `parked` waits."""
NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def server_id(number: int) -> str:
    """Return the id of a server of the benchmark's world."""
    return str(uuid.UUID(int=number + 1, version=4))


def scenario(servers: int = SERVERS) -> dict[str, Any]:
    """Return a scenario with that many servers, no limit, and rules that never fire."""
    return {
        "version": 1,
        "world": {
            "settings": {
                "quotas": {"instances": None, "ram": None, "servers_per_network": None},
            },
            "networks": [{"id": NETWORK, "label": "added_network", "cidr": "10.0.0.0/8"}],
            "servers": [
                {"id": server_id(number), "name": f"s{number}", "networks": []}
                for number in range(servers)
            ],
        },
        "rules": [{"match": "delete_network", "first": 1, "status": 503}],
    }


def delay(seconds: float) -> dict[str, Any]:
    """Return a scenario in which every answer is that late."""
    return {"version": 1, "rules": [{"latency": f"{int(seconds * 1000)}ms"}]}


def bare_app() -> web.Application:
    """Return create, list and delete by hand."""
    store: dict[str, dict[str, Any]] = {}

    async def create(request: web.Request) -> web.Response:
        network = json.loads(await request.read())["virtual_interface"]["network_id"]
        if not isinstance(network, str) or not _UUID.fullmatch(network):
            return web.Response(status=400)
        held = store.setdefault(request.match_info["server"], {})
        if network in held:
            return web.Response(status=409)
        made = {
            "mac_address": "BC:76:4E:00:00:01",
            "id": str(uuid.uuid4()),
            "ip_addresses": [
                {"address": "10.0.0.1", "network_id": network, "network_label": "added_network"}
            ],
        }
        held[network] = made
        return _json({"virtual_interfaces": [made]})

    async def listed(request: web.Request) -> web.Response:
        held = store.get(request.match_info["server"], {})
        return _json({"virtual_interfaces": list(held.values())})

    async def delete(request: web.Request) -> web.Response:
        held = store.get(request.match_info["server"], {})
        for network, made in held.items():
            if made["id"] == request.match_info["interface"]:
                del held[network]
                return web.Response(content_type="application/json")
        return web.Response(status=404)

    app = web.Application()
    app.router.add_post("/servers/{server}/os-virtual-interfacesv2", create)
    app.router.add_get("/servers/{server}/os-virtual-interfacesv2", listed)
    app.router.add_delete("/servers/{server}/os-virtual-interfacesv2/{interface}", delete)
    return app


async def bare() -> str:
    """Serve what is done by hand; return the URL."""
    return await _served(bare_app())


async def _served(app: web.Application) -> str:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


def _json(document: Any) -> web.Response:
    return web.Response(body=json.dumps(document).encode(), content_type="application/json")


async def sleeping(delay: float = DELAY) -> str:
    """Serve one answer after an `asyncio.sleep`; return the URL."""

    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(delay)
        return _json({"version": {}})

    app = web.Application()
    app.router.add_get("/v2.0", handler)
    return await _served(app)


async def _ours(*rest: str) -> str:
    simulator = Simulator(scenario=scenario(), backend=rest[0] if rest else "memory:")
    return (await simulator.start()).url


async def main(name: str, *rest: str) -> None:
    """Serve until standard input ends."""
    if name == "bare":
        url = await bare()
    elif name == "sleeping":
        url = await sleeping()
    else:
        url = await _ours(*rest)
    print(url, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
