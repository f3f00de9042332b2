"""A bare aiohttp application, as small as it gets: `python -m benchmarks.bare` says where it is.

The house rule: imports what an application must, and nothing of vifsim.
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web


async def main() -> None:
    """Serve one route until standard input ends."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b"{}", content_type="application/json")

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
