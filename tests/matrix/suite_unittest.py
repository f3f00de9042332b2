"""What a user's suite does with unittest; a process of its own runs it.

Beside a marked async test, pytest-asyncio 0.26 leaves an open loop behind for any
IsolatedAsyncioTestCase, also for one that asks no cloud, and the ini file makes an error of it.
"""

from __future__ import annotations

import unittest
from urllib.request import Request, urlopen

import aiohttp

from vifsim import Simulator


class Asking(unittest.TestCase):
    def setUp(self) -> None:
        self.cloud = self.enterContext(Simulator())

    def test_is_answered(self) -> None:
        headers = {"X-Auth-Token": self.cloud.token}
        asked = Request(f"{self.cloud.url}/os-networksv2", headers=headers)  # noqa: S310 -- the cloud's own URL

        with urlopen(asked, timeout=10) as answer:  # noqa: S310 -- likewise
            self.assertEqual(answer.status, 200)  # noqa: PT009 -- what a user of unittest writes

        self.cloud.journal.calls("list_networks").told([200])


class AskingAsync(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.cloud = await self.enterAsyncContext(Simulator())

    async def test_is_answered(self) -> None:
        headers = {"X-Auth-Token": self.cloud.token}

        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{self.cloud.url}/os-networksv2") as answer,
        ):
            self.assertEqual(answer.status, 200)  # noqa: PT009 -- what a user of unittest writes
