"""A builder of journals by hand, for tests that say what a client did and ask for the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vifsim.model import Settings
from vifsim.scenario.rule import Scenario
from vifsim.scenario.schema import load_mapping
from vifsim.scorecard import CATALOGUE, Run, score

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ATTACH = "create_virtual_interface"
DETACH = "delete_virtual_interface"
LIST = "list_virtual_interfaces"
_METHODS = {"create": "POST", "delete": "DELETE", "authen": "POST"}


class Tape:
    """A journal in the making; times in seconds, `now` the end of the last call.

    `tape.call(ATTACH, 503, after=2.0)`: two seconds after the end of the call before.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.now = 0.0
        self.scenario = Scenario(name="by-hand")
        self.settings = Settings()
        self.client: dict[str, Any] | None = {"exit_code": 0, "ended": "by_itself", "at": None}
        self.clock = "real"
        self.speed = 1.0

    def obeys(self, **scenario: Any) -> Tape:
        """Let a scenario hold."""
        self.scenario = load_mapping({"version": 1, "name": "by-hand", **scenario})
        return self

    def call(
        self,
        operation: str = ATTACH,
        status: int | None = 200,
        *,
        after: float = 0.2,
        at: float | None = None,
        took: float | None = 0.002,
        retry_after: float | None = None,
        conn: int = 1,
        bearer: str | None = "t1",
        server: str | None = "web-1",
        network: str | None = "net",
        interface: str | None = None,
        digest: str | None = None,
        outcome: str | None = "completed",
        made: str | None = None,
        gone: str | None = None,
        changed: tuple[str, str, str] | None = None,
        by: str | None = None,
        fault: int | None = None,
        wire: str | None = None,
        delay: float = 0.0,
        spoiled: bool = False,
        path: str | None = None,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
        real: tuple[float, float] | None = None,
        connected: float | None = None,
        tenant: str | None = "123456",
    ) -> dict[str, Any]:
        """Add a call. `took` None: it is still under way."""
        arrived = self.now + after if at is None else at
        end = None if took is None else arrived + took
        self.now = max(self.now, arrived if end is None else end)
        creates = operation.startswith("create")
        entry = {
            "seq": len(self.entries) + 1,
            "id": f"req-{len(self.entries) + 1}",
            "operation": operation,
            "method": method or _METHODS.get(operation[:6], "GET"),
            "path": path or _path(operation, server, interface),
            "headers": dict(headers or {}),
            "peer": "127.0.0.1:5000",
            "conn": conn,
            "user": "demo",
            "tenant": tenant,
            "token_id": bearer,
            "server": server,
            "network": network if creates else None,
            "interface": interface,
            "body_digest": digest or (f"body-{network}" if creates and network else None),
            "n": 1,
            "arrived": arrived,
            "end": end,
            "real": {"connected": connected, "arrived": arrived, "end": end},
            "decision": _decision(by, fault, wire, delay),
            "effects": _effects(arrived, made, gone, changed),
            "committed": bool(made or gone or changed),
            "told": _told(status, retry_after, spoiled=spoiled),
            "outcome": None if took is None else outcome,
        }
        if real is not None:
            entry["real"] = {"connected": connected, "arrived": real[0], "end": real[1]}
        self.entries.append(entry)
        return entry

    def refused(self, times: int, *, waits: tuple[float, ...] = (), **keys: Any) -> Tape:
        """Add calls that are refused with 503, each after the wait that goes with it."""
        for index in range(times):
            after = waits[index - 1] if 0 < index <= len(waits) else 0.2
            self.call(
                keys.get("operation", ATTACH), keys.get("status", 503), after=after, by="down"
            )
        return self

    def run(self) -> Run:
        client = self.client
        if client is not None and client["at"] is None:
            client = {**client, "at": self.now + 0.1}
        return Run(
            entries=self.entries,
            seed=7,
            scenario=self.scenario,
            settings=self.settings,
            clock=self.clock,
            speed=self.speed,
            client=client,
        )

    def document(self) -> dict[str, Any]:
        return score(self.run())

    def rule(self, code: str) -> dict[str, Any]:
        """Return what the scorecard says of one rule."""
        name = next(rule.name for rule in CATALOGUE if rule.code == code)
        found: dict[str, Any] = self.document()["rules"][name]
        return found

    def verdict(self, code: str) -> str:
        return str(self.rule(code)["verdict"])


def _path(operation: str, server: str | None, interface: str | None) -> str:
    if operation == "authenticate":
        return "/v2.0/tokens"
    base = "/v2/123456/servers"
    if server is None:
        return base
    tail = "" if operation == "get_server" else "/os-virtual-interfacesv2"
    return f"{base}/{server}{tail}" + (f"/{interface}" if interface else "")


def _decision(
    by: str | None, fault: int | None, wire: str | None, delay: float
) -> dict[str, Any] | None:
    if by is None and not delay:
        return None
    return {
        "fired": [by or "slow"],
        "by": by,
        "at": "before",
        "fault": fault,
        "wire": wire,
        "delay_before": delay,
        "delay_after": 0.0,
    }


def _effects(
    arrived: float, made: str | None, gone: str | None, changed: tuple[str, str, str] | None
) -> list[dict[str, Any]]:
    found: list[tuple[str, str, str]] = []
    if made:
        found.append(("created", "virtual_interface", made))
    if gone:
        found.append(("deleted", "virtual_interface", gone))
    if changed:
        found.append(changed)
    return [{"kind": k, "object": o, "id": i, "at": arrived} for k, o, i in found]


def _told(status: int | None, retry_after: float | None, *, spoiled: bool) -> dict[str, Any] | None:
    if status is None:
        return None
    return {"status": status, "retry_after": retry_after, "spoiled": spoiled, "bytes": 80}


@pytest.fixture
def tape() -> Tape:
    """An empty journal of a client that ended by itself with 0."""
    return Tape()


@pytest.fixture
def new_tape() -> Callable[[], Tape]:
    """Makes empty journals, where a test needs several."""
    return Tape
