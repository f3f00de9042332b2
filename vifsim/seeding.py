"""How a store is filled, emptied into a document, and changed by hand.

The world, the snapshot and the changes of the control API, written once over `operations.Rows`.

The house rule: a document is checked whole before the first row is written.

Source: control API, sections 2, 3.1 and 3.5 (docs/control-api.md).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from vifsim import cloud
from vifsim.draws import identifier
from vifsim.errors import ApiFault, ControlFault, UsageError
from vifsim.model import (
    DEMO_TENANT,
    SERVER_STATUSES,
    BuildFault,
    Network,
    NetworkId,
    Policy,
    Quotas,
    Server,
    ServerId,
    Settings,
    Tenant,
    TenantId,
    Token,
    User,
    VirtualInterface,
)
from vifsim.operations import (
    PUBLIC_NETWORK,
    SERVICE_NETWORK,
    Contents,
    Numbers,
    Rows,
    allocate,
    settle,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vifsim.backend import Change, Snapshot
    from vifsim.model import SeedInterface, SeedNetwork, SeedServer, World

T = TypeVar("T")

SNAPSHOT_VERSION = 1


# ── a world ──────────────────────────────────────────────────────────────────────────────────────


_prepared: OrderedDict[int, tuple[World, Contents]] = OrderedDict()
"""What worlds came to, by the identity of the world: most tests begin with the same one."""

_MOST_PREPARED = 8
_SMALL = 500
"""Servers and interfaces up to which a world is kept prepared."""


async def populate(rows: Rows, world: World) -> None:
    """Fill empty rows with a world.

    Raises:
        UsageError: the world holds more than its networks have addresses for, or contradicts
            itself.
    """
    known = _prepared.get(id(world))
    if known is not None:
        await _put_contents(rows, _begun(known[1], rows))
        return
    seeder = _Seeder(rows, world)
    try:
        await seeder.put_all()
    except ApiFault as exc:
        raise UsageError(f"this world cannot be made: {exc.message}") from exc
    if len(world.servers) + len(world.interfaces) <= _SMALL:
        _prepared[id(world)] = world, seeder.contents
        if len(_prepared) > _MOST_PREPARED:
            _prepared.popitem(last=False)


def _begun(contents: Contents, rows: Rows) -> Contents:
    """Return the contents of a world with its servers as if they had been created now."""
    now = rows.clock.epoch()
    built = now + rows.settings.build_time
    return replace(contents, servers=[created_at(each, now, built) for each in contents.servers])


_SERVER_FIELDS = tuple(item.name for item in fields(Server))
_server_values = attrgetter(*_SERVER_FIELDS)


def created_at(server: Server, created: float, built: float) -> Server:
    """Return a server as if it had been created at a time, to be done, where it builds, at another.

    `replace` takes twice as long, and a cloud that a test begins with spends a tenth on it.
    """
    values = dict(zip(_SERVER_FIELDS, _server_values(server), strict=True))
    values["created"] = values["updated"] = created
    if server.active_at is not None:
        values["active_at"] = built
    return Server(**values)


def names_of(world: World) -> tuple[dict[str, str], dict[str, str]]:
    """Return the ids of a world's servers by name and of its networks by label, as seeded.

    Of several that are called alike the first one counts.
    """
    servers: dict[str, str] = {}
    for number, server in enumerate(world.servers, 1):
        if server.status != "DELETED":
            servers.setdefault(server.name, server.id or identifier(world.seed, "server", number))
    networks: dict[str, str] = {}
    for number, network in enumerate(world.networks, 1):
        networks[network.label] = network.id or identifier(world.seed, "network", number)
    return servers, networks


class _Seeder:
    """Puts the networks and servers of a world, which may refer to one another by name.

    Attributes:
        contents: what was put.
    """

    def __init__(self, rows: Rows, world: World) -> None:
        self.numbers = Numbers(rows)
        self.contents = Contents()
        self._world = world
        self._rows = rows
        self._user_ids = {user.tenant: user.id for user in reversed(world.users)}
        self._networks: dict[str, Network] = {}
        for network in (PUBLIC_NETWORK, SERVICE_NETWORK):
            self._networks[network.label] = self._networks[network.id] = network
        self._given: dict[str, list[SeedInterface]] = {}
        for interface in world.interfaces:
            self._given.setdefault(interface.server, []).append(interface)

    async def put_all(self) -> None:
        for tenant in self._world.tenants:
            await self._rows.put_tenant(tenant)
            self.contents.tenants.append(tenant)
        for user in self._world.users:
            await self._put_user(user)
        for network in self._world.networks:
            await self._put_network(network)
        for server in self._world.servers:
            await self._put_server(server)
        self.contents.sequences.update(await self.numbers.keep())

    async def _put_user(self, user: User) -> None:
        await self._rows.put_user(user)
        self.contents.users.append(user)
        if user.token is not None:
            token = Token(
                digest=user.token, number=None, user=user.name, tenant=user.tenant, expires=None
            )
            await self._rows.put_token(token)
            self.contents.tokens.append(token)

    async def _put_network(self, seed: SeedNetwork) -> None:
        number = await self.numbers.take("network")
        network = Network(
            id=seed.id or NetworkId(identifier(self._rows.seed, "network", number)),
            label=seed.label,
            cidr=seed.cidr,
            tenant=seed.tenant,
        )
        await self._rows.put_network(network)
        self.contents.networks.append(network)
        self._networks.setdefault(network.label, network)
        self._networks[network.id] = network

    async def _put_server(self, seed: SeedServer) -> None:
        server = await self._new_server(seed)
        await self._rows.put_server(server)
        given = {
            self._networks[item.network].id: item
            for key in {seed.name, server.id}
            for item in self._given.get(key, ())
        }
        wanted = dict.fromkeys([self._networks[name].id for name in seed.networks] + list(given))
        for network_id in wanted:
            interface = await self._interface(server, network_id, given.get(network_id))
            server = cloud.access_after_attach(server, interface)
            await self._rows.put_interface(interface)
            self.contents.interfaces.append(interface)
        await self._rows.put_server(server)
        self.contents.servers.append(server)

    async def _new_server(self, seed: SeedServer) -> Server:
        now = self._rows.clock.epoch()
        number = await self.numbers.take("server")
        building = seed.status == "BUILD"
        return Server(
            id=seed.id or ServerId(identifier(self._rows.seed, "server", number)),
            number=number,
            tenant=seed.tenant,
            name=seed.name,
            user_id=self._user_ids.get(seed.tenant, ""),
            status=seed.status,
            task_state=seed.task_state,
            created=now,
            updated=now,
            active_at=now + self._rows.settings.build_time if building else None,
        )

    async def _interface(
        self, server: Server, network_id: NetworkId, given: SeedInterface | None
    ) -> VirtualInterface:
        network = self._networks[network_id]
        interface = await allocate(self._rows, self.numbers, server, network)
        if given is None:
            return interface
        return replace(
            interface,
            id=given.id or interface.id,
            mac_address=given.mac_address or interface.mac_address,
            addresses=given.addresses or interface.addresses,
        )


# ── a snapshot ───────────────────────────────────────────────────────────────────────────────────


def snapshot_of(contents: Contents, settings: Settings, seed: int) -> Snapshot:
    """Return everything as portable data."""
    joined: dict[ServerId, list[NetworkId]] = {}
    for interface in contents.interfaces:
        joined.setdefault(interface.server_id, []).append(interface.network_id)
    return {
        "version": SNAPSHOT_VERSION,
        "world": {
            "seed": seed,
            "settings": settings_document(settings),
            "tenants": [_tenant_document(tenant, contents.users) for tenant in contents.tenants],
            "networks": [asdict(network) for network in contents.networks],
            "servers": [
                {**asdict(server), "networks": joined.get(server.id, [])}
                for server in contents.servers
            ],
            "virtual_interfaces": [_interface_document(item) for item in contents.interfaces],
        },
        "tokens": [asdict(token) for token in contents.tokens],
        "sequences": dict(contents.sequences),
        "touched": dict(contents.touched),
    }


def _tenant_document(tenant: Tenant, users: Sequence[User]) -> dict[str, Any]:
    own = [asdict(user) for user in users if user.tenant == tenant.id]
    return {"id": tenant.id, "quotas": dict(tenant.quotas), "users": own}


def _interface_document(interface: VirtualInterface) -> dict[str, Any]:
    values = asdict(interface)
    return {"server": values.pop("server_id"), "network": values.pop("network_id"), **values}


def contents_of(snapshot: Snapshot) -> tuple[Contents, Settings, int]:
    """Return what a snapshot holds, and the settings and seed that go with it.

    Raises:
        ControlFault: 409, another version; 400, not a snapshot.
    """
    with reading(snapshot):
        return _read_contents(snapshot)


@contextmanager
def reading(snapshot: Mapping[str, Any]) -> Generator[None, None, None]:
    """Read parts of a snapshot inside the block: what it trips over is told as the snapshot's.

    Raises:
        ControlFault: 409, another version; 400, not a snapshot.
    """
    try:
        version = snapshot["version"]
        if version != SNAPSHOT_VERSION:
            raise ControlFault(
                409,
                f"snapshot version {version!r} is not {SNAPSHOT_VERSION}: "
                "save it again with this version of vifsim",
            )
        yield
    except KeyError as exc:
        raise ControlFault(400, f"not a snapshot: it has no {exc.args[0]}") from exc
    except (TypeError, ValueError, AttributeError, IndexError) as exc:
        raise ControlFault(400, f"not a snapshot: {type(exc).__name__} {exc}") from exc


def _read_contents(snapshot: Snapshot) -> tuple[Contents, Settings, int]:
    world = snapshot["world"]
    contents = Contents(
        tenants=[
            Tenant(id=TenantId(item["id"]), quotas=dict(item["quotas"]))
            for item in world["tenants"]
        ],
        users=[User(**user) for item in world["tenants"] for user in item["users"]],
        tokens=[Token(**item) for item in snapshot["tokens"]],
        networks=[Network(**item) for item in world["networks"]],
        servers=[_read_server(item) for item in world["servers"]],
        touched={ServerId(key): float(at) for key, at in snapshot["touched"].items()},
        interfaces=[_read_interface(item) for item in world["virtual_interfaces"]],
        sequences={str(kind): int(number) for kind, number in snapshot["sequences"].items()},
    )
    return contents, read_settings(world["settings"]), int(world["seed"])


def read_settings(data: Mapping[str, Any]) -> Settings:
    """Return settings from their document."""
    policy = data["policy"]
    rules: dict[str, Any] = {**policy}
    for key in ("required", "banned"):
        rules[key] = tuple(policy[key])
    values: dict[str, Any] = {**data, "policy": Policy(**rules)}
    for key in _DURATIONS:
        values[key] = float(data[key].removesuffix("s"))
    values["quotas"] = Quotas(**data["quotas"])
    return Settings(**values)


def _read_server(item: Mapping[str, Any]) -> Server:
    fault = item["fault"]
    values: dict[str, Any] = {**item, "fault": fault and BuildFault(**fault)}
    del values["networks"]  # the interfaces say so too
    return Server(**values)


def _read_interface(item: Mapping[str, Any]) -> VirtualInterface:
    values: dict[str, Any] = {**item, "addresses": tuple(item["addresses"])}
    values["server_id"], values["network_id"] = values.pop("server"), values.pop("network")
    return VirtualInterface(**values)


async def refill(rows: Rows, contents: Contents) -> None:
    """Fill empty rows with the contents of a snapshot.

    Raises:
        ControlFault: 400, the snapshot contradicts itself.
    """
    try:
        await _put_contents(rows, contents)
    except ApiFault as exc:
        raise ControlFault(400, f"the snapshot contradicts itself: {exc.message}") from exc


async def _put_contents(rows: Rows, contents: Contents) -> None:
    await _put_all(rows.put_tenant, contents.tenants)
    await _put_all(rows.put_user, contents.users)
    await _put_all(rows.put_token, contents.tokens)
    await _put_all(rows.put_network, contents.networks)
    await _put_all(rows.put_server, contents.servers)
    await _put_all(rows.put_interface, contents.interfaces)
    for server_id, at in contents.touched.items():
        await rows.touch(server_id, at)
    for kind, number in contents.sequences.items():
        await rows.set_sequence(kind, number)


async def _put_all(put: Callable[[T], Awaitable[None]], things: Sequence[T]) -> None:
    for thing in things:
        await put(thing)


def state_document(contents: Contents, settings: Settings, now: float) -> dict[str, Any]:
    """Return the world now, every value filled in and secrets left out."""
    names = {server.id: server.name for server in contents.servers}
    shown = [cloud.server_at(server, now) for server in contents.servers]
    alive = {server.id for server in shown if server.status != "DELETED"}
    attached: dict[ServerId, list[str]] = {}
    for interface in contents.interfaces:
        attached.setdefault(interface.server_id, []).append(interface.network_label)
    return {
        "settings": settings_document(settings),
        "tenants": [
            {
                "id": tenant.id,
                "quotas": asdict(cloud.quotas_of(settings, tenant)),
                "users": [
                    {"name": user.name, "role": user.role, "enabled": user.enabled}
                    for user in contents.users
                    if user.tenant == tenant.id
                ],
            }
            for tenant in contents.tenants
        ],
        "networks": [
            {
                "id": network.id,
                "tenant": network.tenant,
                "label": network.label,
                "cidr": network.cidr,
            }
            for network in contents.networks
        ],
        "servers": [
            {
                "id": server.id,
                "tenant": server.tenant,
                "name": server.name,
                "status": server.status,
                "task_state": server.task_state,
                "networks": attached.get(server.id, []),
            }
            for server in shown
            if server.id in alive
        ],
        "virtual_interfaces": [
            {
                "id": interface.id,
                "server": names[interface.server_id],
                "network": interface.network_label,
                "mac_address": interface.mac_address,
                "addresses": list(interface.addresses),
            }
            for interface in contents.interfaces
            if interface.server_id in alive
        ],
    }


_DURATIONS = ("build_time", "delete_time", "token_lifetime")


def _shallow(value: Settings | Policy | Quotas) -> dict[str, Any]:
    """Return a value's fields; `asdict`, which copies each deeply, took a third of a start."""
    return {item.name: getattr(value, item.name) for item in fields(value)}


def settings_document(settings: Settings) -> dict[str, Any]:
    """Return settings as a scenario would write them."""
    document = _shallow(settings)
    document["policy"], document["quotas"] = _shallow(settings.policy), _shallow(settings.quotas)
    for key in _DURATIONS:
        document[key] = f"{document[key]!r}".removesuffix(".0") + "s"
    document["policy"] |= {key: list(document["policy"][key]) for key in ("required", "banned")}
    return document


# ── changes by hand ──────────────────────────────────────────────────────────────────────────────


async def amend(rows: Rows, change: Change) -> None:
    """Change the cloud by hand.

    Raises:
        ControlFault: 400, no such change, or a wrong value; 404, what it names is not there.
    """
    act, required, optional = CHANGES.get(change.kind, (None, (), ()))
    if act is None:
        raise ControlFault(
            400, f"unknown change {change.kind!r}: it is one of {', '.join(CHANGES)}"
        )
    missing = [key for key in required if key not in change.values]
    unknown = [key for key in change.values if key not in {*required, *optional}]
    if missing or unknown:
        problem = f"lacks {missing[0]}" if missing else f"has no value {unknown[0]}"
        takes = ", ".join((*required, *(f"[{key}]" for key in optional)))
        raise ControlFault(400, f"{change.kind} {problem}: it takes {takes or 'nothing'}")
    await settle(rows)
    await act(rows, change.values)


async def _set_status(rows: Rows, values: Mapping[str, Any]) -> None:
    server = await _server(rows, values["server"])
    status = values["status"]
    if status not in SERVER_STATUSES:
        raise ControlFault(400, f"status {status!r} is none of {', '.join(SERVER_STATUSES)}")
    task_state = values.get("task_state")
    if task_state is not None and not isinstance(task_state, str):
        raise ControlFault(400, "task_state is a text or null")
    now = rows.clock.epoch()
    building = now + rows.settings.build_time if status == "BUILD" else None
    await rows.put_server(
        replace(
            server,
            status="ACTIVE" if status == "DELETED" else status,
            task_state=task_state,
            active_at=building if rows.settings.build_time > 0 else None,
            gone_at=now if status == "DELETED" else None,
            updated=now,
            fault=None,
        )
    )
    await settle(rows)


async def _fail_build(rows: Rows, values: Mapping[str, Any]) -> None:
    server = await _server(rows, values["server"])
    now = rows.clock.epoch()
    message = _text(values, "message", "No valid host was found.")
    fault = BuildFault(code=500, created=now, message=message, details="")
    await rows.put_server(
        replace(server, status="ERROR", task_state=None, active_at=None, updated=now, fault=fault)
    )


async def _set_quotas(rows: Rows, values: Mapping[str, Any]) -> None:
    tenant_id = TenantId(_text(values, "tenant", DEMO_TENANT))
    tenant = await rows.tenant(tenant_id)
    if tenant is None:
        raise ControlFault(404, f"no tenant {tenant_id}")
    wanted: Any = values["quotas"]
    known = [field.name for field in fields(Quotas)]
    if not isinstance(wanted, Mapping):
        raise ControlFault(400, f"quotas is a mapping with any of {', '.join(known)}")
    quotas: Mapping[str, Any] = {**wanted}
    for key, value in quotas.items():
        if key not in known:
            raise ControlFault(400, f"no quota {key!r}: it is one of {', '.join(known)}")
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if value is not None and not whole:
            raise ControlFault(400, f"quota {key} is a whole number, 0 or more, or null")
    await rows.put_tenant(replace(tenant, quotas={**tenant.quotas, **quotas}))


async def _revoke_all_tokens(rows: Rows, values: Mapping[str, Any]) -> None:
    user = values.get("user")
    if user is not None:
        await _user(rows, user)
    for token in await rows.tokens(user):
        if not token.revoked:
            await rows.put_token(replace(token, revoked=True))


async def _disable_user(rows: Rows, values: Mapping[str, Any]) -> None:
    await rows.put_user(replace(await _user(rows, values["user"]), enabled=False))


async def _enable_user(rows: Rows, values: Mapping[str, Any]) -> None:
    await rows.put_user(replace(await _user(rows, values["user"]), enabled=True))


async def _fill_network(rows: Rows, values: Mapping[str, Any]) -> None:
    free = values["free"]
    if not isinstance(free, int) or isinstance(free, bool) or free < 0:
        raise ControlFault(400, "free is how many addresses stay free, 0 or more")
    network = await _network(rows, values["network"])
    await rows.set_sequence(f"room:{network.id}", free + 1)


def _text(values: Mapping[str, Any], key: str, default: str) -> str:
    value = values.get(key, default)
    if not isinstance(value, str):
        raise ControlFault(400, f"{key} is a text")
    return value


async def _server(rows: Rows, name: object) -> Server:
    if isinstance(name, str):
        found = await rows.server(ServerId(name.lower()))
        named = [found] if found else await rows.servers_named(name)
        now = rows.clock.epoch()
        for server in named:
            if server.gone_at is None or server.gone_at > now:
                return cloud.server_at(server, now)
    raise ControlFault(404, f"no server {name!r}")


async def _user(rows: Rows, name: object) -> User:
    user = await rows.user(name) if isinstance(name, str) else None
    if user is None:
        raise ControlFault(404, f"no user {name!r}")
    return user


async def _network(rows: Rows, name: object) -> Network:
    if isinstance(name, str):
        for network in (PUBLIC_NETWORK, SERVICE_NETWORK, *(await rows.contents()).networks):
            if name in {network.label, network.id}:
                return network
    raise ControlFault(404, f"no network {name!r}")


_Act = Callable[[Rows, Mapping[str, Any]], Awaitable[None]]

CHANGES: Mapping[str, tuple[_Act, tuple[str, ...], tuple[str, ...]]] = {
    "set_status": (_set_status, ("server", "status"), ("task_state",)),
    "fail_build": (_fail_build, ("server",), ("message",)),
    "set_quotas": (_set_quotas, ("quotas",), ("tenant",)),
    "revoke_all_tokens": (_revoke_all_tokens, (), ("user",)),
    "disable_user": (_disable_user, ("user",), ()),
    "enable_user": (_enable_user, ("user",), ()),
    "fill_network": (_fill_network, ("network", "free"), ()),
}
"""The changes by name: what each does, the values it needs, and those it may have."""
