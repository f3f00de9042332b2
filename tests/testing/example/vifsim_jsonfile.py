"""A backend that keeps a cloud in a JSON file: `jsonfile:///cloud.json`.

Everything is in memory, in lists; each operation that writes ends by writing the file anew. It is
as simple as a backend can be, and as slow: the rules of the cloud are vifsim's, and a store only
says how rows are found and kept.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from vifsim import snapshots
from vifsim.cloud import flavor_ram
from vifsim.errors import BackendError, Conflict, ControlFault
from vifsim.model import Settings
from vifsim.rows import Contents, Rows, effect_on
from vifsim.store import StoreBackend, TokenTable


class JsonRows(Rows):
    """Rows in lists."""

    def __init__(self, contents: Contents, settings: Settings, seed: int, clock: Any) -> None:
        self.contents_now, self.settings, self.seed, self.clock = contents, settings, seed, clock
        self.effects: list[Any] = []

    def note(self, call: Any, kind: Any, thing: Any) -> None:
        self.effects.append((call, effect_on(kind, thing, self.clock.now())))

    async def contents(self) -> Contents:
        return self.contents_now

    async def sequence(self, kind: str) -> int:
        return self.contents_now.sequences.get(kind, 0)

    async def set_sequence(self, kind: str, number: int) -> None:
        self.contents_now.sequences[kind] = number

    async def tenant(self, tenant_id: Any) -> Any:
        return _one(self.contents_now.tenants, id=tenant_id)

    async def put_tenant(self, tenant: Any) -> None:
        _put(self.contents_now.tenants, tenant, "id")

    async def user(self, name: str) -> Any:
        return _one(self.contents_now.users, name=name)

    async def put_user(self, user: Any) -> None:
        _put(self.contents_now.users, user, "name")

    async def token(self, digest: str) -> Any:
        return _one(self.contents_now.tokens, digest=digest)

    async def tokens(self, user: str | None) -> Any:
        return [token for token in self.contents_now.tokens if user in {None, token.user}]

    async def put_token(self, token: Any) -> None:
        _put(self.contents_now.tokens, token, "digest")

    async def network(self, network_id: Any) -> Any:
        return _one(self.contents_now.networks, id=network_id)

    async def networks(self, tenant: Any) -> Any:
        return _all(self.contents_now.networks, tenant=tenant)

    async def put_network(self, network: Any) -> None:
        self.contents_now.networks.append(network)

    async def drop_network(self, network_id: Any) -> None:
        self.contents_now.networks.remove(await self.network(network_id))
        for kind in ("address", "room"):
            self.contents_now.sequences.pop(f"{kind}:{network_id}", None)

    async def server(self, server_id: Any) -> Any:
        return _one(self.contents_now.servers, id=server_id)

    async def put_server(self, server: Any) -> None:
        _put(self.contents_now.servers, server, "id")

    async def servers(self, tenant: Any, before: int | None, size: int) -> Any:
        own = reversed(_all(self.contents_now.servers, tenant=tenant))
        return [server for server in own if before is None or server.number < before][:size]

    async def servers_named(self, name: str) -> Any:
        return _all(self.contents_now.servers, name=name)

    async def usage(self, tenant: Any, now: float) -> tuple[int, int]:
        own = [one for one in _all(self.contents_now.servers, tenant=tenant) if _is_there(one, now)]
        return len(own), sum(flavor_ram(server.flavor_ref) for server in own)

    async def due(self, now: float) -> Any:
        with_some = {interface.server_id for interface in self.contents_now.interfaces}
        gone = [one for one in self.contents_now.servers if not _is_there(one, now)]
        return [server for server in gone if server.id in with_some]

    async def touch(self, server_id: Any, at: float) -> None:
        self.contents_now.touched[server_id] = at

    async def touched(self, server_ids: Any) -> Any:
        return self.contents_now.touched

    async def interface(self, server_id: Any, interface_id: Any) -> Any:
        return _one(self.contents_now.interfaces, server_id=server_id, id=interface_id)

    async def interfaces(self, server_id: Any) -> Any:
        return _all(self.contents_now.interfaces, server_id=server_id)

    async def put_interface(self, interface: Any) -> None:
        for other in self.contents_now.interfaces:
            together = other.network_id == interface.network_id
            shared = set(other.addresses) & set(interface.addresses)
            if other.mac_address == interface.mac_address or (together and shared):
                raise Conflict("the address is in use")
            if together and other.server_id == interface.server_id:
                raise Conflict("the server is attached already")
        self.contents_now.interfaces.append(interface)

    async def drop_interface(self, interface: Any) -> None:
        self.contents_now.interfaces.remove(interface)

    async def on_network(self, network_id: Any) -> int:
        return len(_all(self.contents_now.interfaces, network_id=network_id))

    async def address_in_use(self, network_id: Any, address: str) -> bool:
        there = _all(self.contents_now.interfaces, network_id=network_id)
        return any(address in interface.addresses for interface in there)

    async def mac_in_use(self, mac_address: str) -> bool:
        return _one(self.contents_now.interfaces, mac_address=mac_address) is not None


class JsonFileBackend(StoreBackend):
    """A cloud in a JSON file."""

    durable = True

    def __init__(self, url: str, *, clock: Any) -> None:
        super().__init__(url, clock=clock)
        self._path = Path(url.removeprefix("jsonfile:///"))
        self._kept: Any = None
        self._rows = JsonRows(Contents(), Settings(), 0, clock)

    @property
    def settings(self) -> Settings:
        return self._rows.settings

    @property
    def seed(self) -> int:
        return self._rows.seed

    async def open(self, world: Any) -> None:
        if not self._path.exists():
            await self.reset(world)
            return
        try:
            saved = json.loads(self._path.read_text())
            self._take(*snapshots.contents_of(saved["snapshot"]))
            self._kept = saved["scenario"]
        except (ValueError, KeyError, ControlFault) as exc:
            raise BackendError(f"{self._path} is no cloud: {exc}") from exc

    def _take(self, contents: Contents, settings: Settings, seed: int) -> None:
        self._rows = JsonRows(contents, settings, seed, self.clock)

    async def close(self) -> None:
        """Do nothing: everything is in the file already."""

    async def _replace(self, settings: Any, seed: Any, fill: Any) -> None:
        fresh = JsonRows(Contents(), settings, seed, self.clock)
        await fill(fresh)  # row by row: a snapshot may contradict itself
        self._rows = fresh
        self._save()

    async def configure(self, settings: Settings) -> None:
        self._rows.settings = settings
        self._save()

    async def keep_scenario(self, scenario: Any) -> None:
        self._kept = dict(scenario)
        self._save()

    async def kept_scenario(self) -> Any:
        return self._kept

    async def identify(self, token: str) -> Any:
        table = TokenTable()
        for user in self._rows.contents_now.users:
            table.put_user(user)
        for one in self._rows.contents_now.tokens:
            table.put_token(one)
        return table.identify(token, self.clock.epoch())

    async def _read(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        return await operation(self._rows, *args, **kwargs)

    async def _write(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        before = copy.deepcopy(self._rows.contents_now)
        try:
            result = await operation(self._rows, *args, **kwargs)
            self._save()
        except BaseException:
            self._rows.contents_now = before
            self._rows.effects.clear()
            raise
        for call, effect in self._rows.effects:
            call.outcome.note(effect)
        self._rows.effects.clear()
        return result

    def _save(self) -> None:
        rows = self._rows
        snapshot = snapshots.snapshot_of(rows.contents_now, rows.settings, rows.seed)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"snapshot": snapshot, "scenario": self._kept}))
        fresh.replace(self._path)


def _is_there(server: Any, now: float) -> bool:
    return server.status != "DELETED" and (server.gone_at is None or server.gone_at > now)


def _all(rows: list[Any], **wanted: Any) -> list[Any]:
    return [row for row in rows if all(getattr(row, key) == wanted[key] for key in wanted)]


def _one(rows: list[Any], **wanted: Any) -> Any:
    return next(iter(_all(rows, **wanted)), None)


def _put(rows: list[Any], new: Any, key: str) -> None:
    for place, row in enumerate(rows):
        if getattr(row, key) == getattr(new, key):
            rows[place] = new
            return
    rows.append(new)
