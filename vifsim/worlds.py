"""The world that a scenario asks for, under what the simulator was given, and the names in it.

The house rule: worlds are documents and values; what exists meanwhile is the backend's to say.

Source: scenarios, `world` (docs/scenarios.md); control API, section 4 (docs/control-api.md).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vifsim import scenario as scenarios
from vifsim.demo_world import demo_world
from vifsim.errors import ControlFault
from vifsim.model import DEMO_DOCUMENT
from vifsim.seeding import names_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vifsim.backend import Backend
    from vifsim.model import World
    from vifsim.scenario.rule import Scenario

Document = dict[str, Any]

_SECRETS = frozenset({"password", "api_key", "token"})
_LISTS = ("tenants", "servers", "networks", "virtual_interfaces")
_FIXED = {
    "00000000-0000-0000-0000-000000000000": "public",
    "11111111-1111-1111-1111-111111111111": "private",
}


def merged_world(base: Mapping[str, Any], own: Mapping[str, Any]) -> Document:
    """Return the `world` of a scenario over the one that a simulator was given."""
    settings = {**base.get("settings", {}), **own.get("settings", {})}
    merged = {**base, **own}
    return {**merged, "settings": settings} if settings else merged


def lists_things(scenario: Scenario) -> bool:
    """Return whether a scenario says what exists, so that the world is made anew."""
    return any(key in scenario.world for key in _LISTS)


class Worlds:
    """Makes the world of each scenario.

    Args:
        base: the `world` of a scenario, under whatever a scenario itself says.
        seed: of ids and draws; None: a scenario's own, else 0.
        scenario: that holds at first.

    Attributes:
        present: the world that the backend began with.
    """

    _read: tuple[Mapping[str, Any], World] | None = None
    """The scenario's world that was read last, and what it came to."""

    def __init__(
        self, base: Mapping[str, Any] | None, seed: int | None, scenario: Scenario
    ) -> None:
        self.base = dict(base or {})
        self._seed = seed
        self.present = self.make(scenario)

    def make(self, scenario: Scenario, seed: int | None = None) -> World:
        """Return a scenario's world; the last one, which may be large, is not read again.

        Raises:
            UsageError: the world is not sound.
        """
        if seed is None:
            seed = self._seed if self._seed is not None else scenario.seed
        read, world = self._read or (None, None)
        if world is None or read != scenario.world:
            document = merged_world(self.base, scenario.world)
            world = scenarios.load_world(document, seed or 0) if document else demo_world(seed or 0)
        elif world.seed != (seed or 0):
            world = replace(world, seed=seed or 0)
        self._read = scenario.world, world
        return world

    def first_user(self, scenario: Scenario) -> dict[str, str]:
        """Return a world's first user and tenant, with the secrets that a client logs in with."""
        document: Document = {**DEMO_DOCUMENT, **merged_world(self.base, scenario.world)}
        tenants: list[Document] = document["tenants"]
        tenant: Document = tenants[0] if tenants else {"id": ""}
        users: list[Document] = tenant.get("users") or []
        user: Document = users[0] if users else {}
        return {
            "tenant": str(tenant["id"]),
            **{key: str(user.get(key) or "") for key in ("name", "password", "api_key", "token")},
        }


class KnownNames:
    """The ids of servers by name and of networks by label, as they were last looked up."""

    _world: World | None = None
    """The world whose names are `_first`."""
    _first: tuple[dict[str, str], dict[str, str]]
    _found: tuple[dict[str, str], dict[str, str]] | None = None

    def __init__(self, worlds: Worlds, backend: Backend) -> None:
        self._worlds = worlds
        self._backend = backend

    def now(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return those of servers and of networks, as when the world began or `learn` last ran."""
        if self._found is not None:
            return self._found
        if self._world is not self._worlds.present:
            self._world = self._worlds.present
            self._first = _with_fixed(*names_of(self._world))
        return self._first

    async def learn(self) -> None:
        """Look up what exists now."""
        self._found = _with_fixed(*await self._backend.known_names())

    async def begin(self) -> None:
        """Look up a store that may have been used before; a new one holds the world."""
        self._found = None
        if self._backend.durable or self._backend.shares:
            await self.learn()

    def hold(self) -> None:
        """Go on with what is known now, whatever world comes to be the present one."""
        self._found = self.now()

    async def ids(self, kind: str, name: str) -> list[str]:
        """Return the ids of the servers or networks that have this name, label or id.

        Raises:
            ControlFault: 404, there is none.
        """
        document = await self._backend.state_document()
        key = "name" if kind == "server" else "label"
        found = [item["id"] for item in document[f"{kind}s"] if name in {item["id"], item[key]}]
        if kind == "network":
            found += [fixed for fixed, label in _FIXED.items() if name in {fixed, label}]
        if not found:
            raise ControlFault(404, f"no {kind} {name}")
        return found


def _with_fixed(
    servers: dict[str, str], networks: dict[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names with those of the networks that are always there."""
    return servers, networks | {label: fixed for fixed, label in _FIXED.items()}


# ── secrets ──


def without_secrets(world: Mapping[str, Any]) -> Document:
    """Return a world without its users' passwords, keys and tokens."""
    tenants = [
        {**tenant, "users": [_open_part(user) for user in tenant["users"]]}
        if "users" in tenant
        else tenant
        for tenant in world.get("tenants", ())
    ]
    return {**world, "tenants": tenants} if "tenants" in world else dict(world)


def _open_part(user: Mapping[str, Any]) -> Document:
    return {key: value for key, value in user.items() if key not in _SECRETS}


def text_without_secrets(scenario: Scenario) -> str:
    """Return the text of a scenario; where it gives users secrets, written anew without them."""
    tenants = scenario.world.get("tenants", ())
    users = [user for tenant in tenants for user in tenant.get("users", ())]
    if not any(_SECRETS & user.keys() for user in users):
        return scenario.text
    from vifsim.scenario.text import read_text  # noqa: PLC0415 -- few worlds have secrets

    data: Document = read_text(scenario.text, source=scenario.name).data
    return json.dumps({**data, "world": without_secrets(scenario.world)}, indent=2) + "\n"


def with_demo_secrets(world: Mapping[str, Any]) -> Document:
    """Return a world whose first user has the demo user's secrets where it has none.

    The demo token belongs to one user only, so the others stay without.
    """
    demo = DEMO_DOCUMENT["tenants"][0]["users"][0]
    secrets = {key: demo[key] for key in sorted(_SECRETS)}
    tenants: list[Document] = [dict(tenant) for tenant in world.get("tenants", ())]
    for tenant in tenants[:1]:
        users: list[Document] = tenant.get("users") or []
        if users and not _SECRETS & users[0].keys():
            tenant["users"] = [{**users[0], **secrets}, *users[1:]]
    return {**world, "tenants": tenants} if tenants else dict(world)
