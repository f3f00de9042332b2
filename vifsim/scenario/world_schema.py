"""The schemas of a world, and how it is read: what exists at the start, and how the cloud behaves.

The house rule: a world leaves here with every reference resolved; a store may trust it.

Source: control API, section 3.1 (docs/control-api.md); API contract, section 11 (docs/api.md).
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING, Any, cast, get_args

from vifsim import cloud
from vifsim.demo_world import FIRST_USER, demo_world
from vifsim.draws import secret_digest, token_digest
from vifsim.errors import BadRequest, ScenarioError
from vifsim.model import (
    DEMO_DOCUMENT,
    FIXED_NETWORKS,
    PROFILES,
    PUBLIC,
    SERVER_STATUSES,
    SERVICE,
    InterfaceId,
    NetworkId,
    Policy,
    Profile,
    Quotas,
    Role,
    SeedInterface,
    SeedNetwork,
    SeedServer,
    ServerId,
    Settings,
    Tenant,
    TenantId,
    User,
    World,
)
from vifsim.scenario.durations import Duration
from vifsim.scenario.fields import Choice, Count, Flag, HeaderText, ListOf, Pattern, Text
from vifsim.scenario.flaws import Flaw, Flaws, did_you_mean, refusal
from vifsim.scenario.strict import Strict, load_with, many, one
from vifsim.scenario.text import Path, read_data, shown
from vifsim.values import slotted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MAC = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
_LABELS: Mapping[str, NetworkId] = {"public": PUBLIC, "private": SERVICE}


# ── fields ───────────────────────────────────────────────────────────────────────────────────────


class Uuid(Pattern):
    """A UUID; read in lower case."""

    def __init__(self, doc: str) -> None:
        super().__init__(doc, _UUID, "a UUID")

    def _read(self, value: object) -> str:
        return super()._read(value.lower() if isinstance(value, str) else value)


class Mac(Pattern):
    """A MAC address; read in capitals."""

    def __init__(self, doc: str) -> None:
        super().__init__(doc, _MAC, "a MAC address such as BC:76:4E:00:00:01")

    def _read(self, value: object) -> str:
        return super()._read(value.upper() if isinstance(value, str) else value)


class Cidr(Text):
    """The addresses of an isolated network; read in canonical form."""

    def _read(self, value: object) -> str:
        text = super()._read(value)
        try:
            return cloud.canonical_cidr(text)
        except BadRequest as exc:
            raise refusal("must be a CIDR such as 192.168.0.0/24", exc.message) from exc


class Address(Text):
    """An IP address; read as the API shows it."""

    def _read(self, value: object) -> str:
        text = super()._read(value)
        try:
            return ipaddress.ip_address(text).exploded
        except ValueError as exc:
            raise refusal(f"must be an IP address, not {shown(text)}") from exc


class Trimmed(Text):
    """A text without blanks around it."""

    def _read(self, value: object) -> str:
        return super()._read(value).strip()


# ── schemas ──────────────────────────────────────────────────────────────────────────────────────


class QuotasSchema(Strict):
    """How much a tenant may have; null: no limit."""

    instances = Count("Servers.", least=0, nullable=True)
    ram = Count("Megabytes over all servers.", least=0, nullable=True)
    networks = Count("Isolated networks.", least=0, nullable=True)
    servers_per_network = Count("Servers on one isolated network.", least=0, nullable=True)
    vifs_per_server = Count("Interfaces on one server.", least=0, nullable=True)


class PolicySchema(Strict):
    """An account policy, as managed accounts have them."""

    required = ListOf("Networks that every server must have.", Text(), empty=True)
    banned = ListOf("Networks that no server may have.", Text(), empty=True)
    max_isolated = Count("Most isolated networks on one server.", least=0, nullable=True)
    exactly_isolated = Count("Isolated networks on each server.", least=0, nullable=True)


class SettingsSchema(Strict):
    """How the cloud behaves when it is healthy."""

    not_built = (
        *("legacy_compute", "v6_compressed", "internal_network_ids", "double_date", "vif_order"),
        *("xml", "bare_paths", "v6_prefix", "strict_refs"),
    )

    profile = Choice("`docs`: as documented; `live`: as the service was seen.", ("docs", "live"))
    duplicate_vif_status = Choice("A second interface on one network.", (409, 400))
    state_checks = Flag("Whether a server's state can forbid attaching and detaching.")
    network_in_use_status = Choice("Deleting a network in use.", (403, 409))
    unknown_network_status = Choice("Attaching to an unknown network.", (404, 400))
    tenant_mismatch_status = Choice("The path's tenant is not the token's.", (401, 403, 404))
    vif_delete_status = Choice("A deleted interface.", (200, 204))
    idempotent_vif_delete = Flag("Whether deleting an unknown interface succeeds.")
    bad_media_type_status = Choice("A body that is not declared to be JSON.", (415, 400))
    quota_status = Choice("A quota that is used up.", (403, 413))
    reissue = Choice("When a log-in gives a new token.", ("last_hour", "always"))
    rate_limits = Choice("Whether the documented limits hold.", ("none", "documented"))
    retry_after = Choice("The form of Retry-After.", ("seconds", "date"))
    max_limit = Count("The longest page.")
    vif_limit_scope = Choice("What the limits on interfaces count by.", ("user", "server"))
    raw_framework_bodies = Flag("Whether some refusals are plain text, as live.")
    over_limit_dialect = Choice(
        "The body of a rate limit's 413.", ("docs",), ("uk2012", "repose", "nova")
    )
    policy = one(PolicySchema, "The account policy.")
    region = Text("The region in the service catalogue.", longest=64)
    server_header = HeaderText("The header Server.")
    via_header = HeaderText("The header Via.")
    build_time = Duration("How long a server is in BUILD.")
    delete_time = Duration("How long a server takes to go.")
    token_lifetime = Duration("How long a token lives.", above_zero=True)
    quotas = one(QuotasSchema, "What a tenant may have that says nothing else.")


class UserSchema(Strict):
    """A user of a tenant."""

    name = Trimmed("What the user logs in with.", required=True)
    role = Choice("What the user may do, `admin` unless said.", get_args(Role))
    enabled = Flag("Whether the user may log in.")
    password = Text("The password.", nullable=True)
    api_key = Text("The API key.", nullable=True)
    token = Text("A token that works without a log-in.", nullable=True)


class TenantSchema(Strict):
    """A tenant with its users."""

    id = Pattern("The id in paths.", re.compile(r"[A-Za-z0-9_.-]{1,64}"), "a word", required=True)
    quotas = one(QuotasSchema, "Quotas of its own.")
    users = many(UserSchema, "Who can log in.")


class NetworkSchema(Strict):
    """An isolated network."""

    id = Uuid("Its id.")
    tenant = Text("Whose it is; the first tenant's unless said.")
    label = Trimmed("What it is called.", required=True)
    cidr = Cidr("Its addresses.", required=True)


class ServerSchema(Strict):
    """A server."""

    id = Uuid("Its id.")
    tenant = Text("Whose it is; the first tenant's unless said.")
    name = Trimmed("What it is called.", required=True)
    status = Choice("Its status.", [name for name in SERVER_STATUSES if name != "DELETED"])
    task_state = Text("What is being done to it.", nullable=True)
    networks = ListOf("Labels or ids of its networks, in order.", Text(), empty=True)


class InterfaceSchema(Strict):
    """An attachment, or the fixed values of one that a server's `networks` make."""

    id = Uuid("Its id.")
    server = Text("Name or id of the server.", required=True)
    network = Text("Label or id of the network.", required=True)
    mac_address = Mac("Its MAC address.")
    addresses = ListOf("Its addresses.", Address())


class WorldSchema(Strict):
    """What exists at the start; each key left out keeps the demo world's."""

    settings = one(SettingsSchema, "How the cloud behaves when it is healthy.")
    tenants = many(TenantSchema, "Who there is.")
    networks = many(NetworkSchema, "Isolated networks; `public` and `private` always exist.")
    servers = many(ServerSchema, "The servers.")
    virtual_interfaces = many(InterfaceSchema, "Further attachments.")


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def load_world(mapping: Mapping[str, Any], seed: int = 0, *, source: str = "world") -> World:
    """Return a world, the demo world's where the mapping leaves a key out.

    Raises:
        ScenarioError: an unknown key, a wrong value, or a reference to what is not there.
    """
    if not mapping:
        return demo_world(seed)
    document = read_data(mapping, source=source)
    data: Any = document.data
    if not isinstance(data, dict):
        raise ScenarioError(source, [document.problem((), "a world must be a mapping")])
    world, flaws = read_world(cast("dict[str, Any]", data), seed)
    if world is None:
        problems = [document.problem(path, flaw.at(path), hint=flaw.hint) for path, flaw in flaws]
        raise ScenarioError(source, problems)
    return world


def read_world(given: Mapping[str, Any], seed: int = 0) -> tuple[World | None, Flaws]:
    """Return a world, or None and all that is wrong with it."""
    data, flaws = load_with(WorldSchema, {**DEMO_DOCUMENT, **given})
    if flaws:
        return None, flaws
    reader = _Reader(data)
    world = reader.world(seed)
    flaws = [_in_sight(path, flaw, given) for path, flaw in reader.flaws]
    return (None if flaws else world), flaws


def _in_sight(path: Path, flaw: Flaw, given: Mapping[str, Any]) -> tuple[Path, Flaw]:
    """Return a flaw of a part that the demo world filled in with a place in what was given."""
    section = path[0]
    if section in given:
        return path, flaw
    return (), Flaw(f"{flaw.at(path)}, in the demo world's {section}", f"give {section} as well")


@slotted
class _Reader:
    """Makes a world of data that is sound by shape, and collects what does not fit together."""

    data: Mapping[str, Any]
    flaws: Flaws = field(default_factory=list[tuple[Path, Flaw]])

    def world(self, seed: int) -> World:
        self._check_tenants()
        self._check_unique("networks", "id", FIXED_NETWORKS)
        self._check_unique("servers", "id")
        networks = self._networks()
        return World(
            seed=seed,
            settings=self._settings(networks),
            tenants=tuple(
                Tenant(id=TenantId(item["id"]), quotas=item.get("quotas", {}))
                for item in self.data["tenants"]
            ),
            users=self._users(),
            networks=networks,
            servers=(servers := self._servers(networks)),
            interfaces=self._interfaces(servers, networks),
        )

    # ── tenants and users ──

    def _check_tenants(self) -> None:
        if not self.data["tenants"]:
            self._flaw(("tenants",), Flaw("must hold at least one tenant", predicate=True))
        self._check_unique("tenants", "id")
        for key in ("name", "token"):
            users = [
                (("tenants", i, "users", j, key), user.get(key))
                for i, tenant in enumerate(self.data["tenants"])
                for j, user in enumerate(tenant.get("users", ()))
            ]
            self._check_once(users)

    def _users(self) -> tuple[User, ...]:
        users = [
            (tenant["id"], user)
            for tenant in self.data["tenants"]
            for user in tenant.get("users", ())
        ]
        return tuple(
            User(
                id=str(FIRST_USER + index),
                name=user["name"],
                tenant=TenantId(tenant),
                role=user.get("role", "admin"),
                enabled=user.get("enabled", True),
                password=_digest(user.get("password"), secret_digest),
                api_key=_digest(user.get("api_key"), secret_digest),
                token=_digest(user.get("token"), token_digest),
            )
            for index, (tenant, user) in enumerate(users)
        )

    def _tenant(self, path: Path, item: Mapping[str, Any]) -> TenantId:
        known = [tenant["id"] for tenant in self.data["tenants"]]
        name = item.get("tenant", known[0] if known else "")
        if known and name not in known:
            flaw = Flaw(f"there is no tenant {shown(name)}", did_you_mean(name, known))
            self._flaw((*path, "tenant"), flaw)
        return TenantId(name)

    # ── networks ──

    def _networks(self) -> tuple[SeedNetwork, ...]:
        return tuple(
            SeedNetwork(
                label=item["label"],
                cidr=item["cidr"],
                tenant=self._tenant(("networks", index), item),
                id=NetworkId(item["id"]) if "id" in item else None,
            )
            for index, item in enumerate(self.data["networks"])
        )

    def _network(
        self, path: Path, name: str, networks: Collection[SeedNetwork], tenant: str | None
    ) -> str:
        """Return the id of a network, or its label where it has no id yet."""
        found = _fitting_networks(name, networks, tenant)
        if not found:
            labels = [*_LABELS, *(net.label for net in networks if tenant in {None, net.tenant})]
            flaw = Flaw(f"there is no network {shown(name)}", did_you_mean(name, labels))
            self._flaw(path, flaw)
        elif len(found) > 1 or (found == [name] and _is_shared(name, networks)):
            detail = f"more than one network is called {shown(name)}"
            self._flaw(path, Flaw(detail, "give the network an id, and write that"))
        return found[0] if found else name

    # ── servers and interfaces ──

    def _servers(self, networks: Collection[SeedNetwork]) -> tuple[SeedServer, ...]:
        servers: list[SeedServer] = []
        for index, item in enumerate(self.data["servers"]):
            path: Path = ("servers", index)
            tenant = self._tenant(path, item)
            names = item.get("networks", SeedServer(name="", tenant=tenant).networks)
            places = [(*path, "networks", place) for place in range(len(names))]
            resolved = [
                self._network(place, name, networks, tenant)
                for place, name in zip(places, names, strict=True)
            ]
            self._check_once(zip(places, resolved, strict=True))
            servers.append(
                SeedServer(
                    name=item["name"],
                    tenant=tenant,
                    id=ServerId(item["id"]) if "id" in item else None,
                    status=item.get("status", "ACTIVE"),
                    task_state=item.get("task_state"),
                    networks=tuple(resolved),
                )
            )
        return tuple(servers)

    def _interfaces(
        self, servers: Collection[SeedServer], networks: Collection[SeedNetwork]
    ) -> tuple[SeedInterface, ...]:
        found: list[SeedInterface] = []
        for index, item in enumerate(self.data["virtual_interfaces"]):
            path: Path = ("virtual_interfaces", index)
            server = self._server((*path, "server"), item["server"], servers)
            tenant = server.tenant if server else None
            found.append(
                SeedInterface(
                    server=(server.id or server.name) if server else item["server"],
                    network=self._network((*path, "network"), item["network"], networks, tenant),
                    id=InterfaceId(item["id"]) if "id" in item else None,
                    mac_address=item.get("mac_address"),
                    addresses=item.get("addresses", ()),
                )
            )
        self._check_unique("virtual_interfaces", "id")
        self._check_unique("virtual_interfaces", "mac_address")
        attached = Counter[tuple[str, str]]()
        for index, one_ in enumerate(found):
            attached[one_.server, one_.network] += 1
            if attached[one_.server, one_.network] == 2:
                detail = "a server has one interface on a network, and this one is given twice"
                self._flaw(("virtual_interfaces", index), Flaw(detail))
        return tuple(found)

    def _server(self, path: Path, name: str, servers: Collection[SeedServer]) -> SeedServer | None:
        found = [item for item in servers if name.lower() == item.id or name == item.name]
        if len(found) == 1:
            return found[0]
        if found:
            detail = f"more than one server is called {shown(name)}"
            self._flaw(path, Flaw(detail, "give the server an id, and write that"))
        else:
            names = [server.name for server in servers]
            flaw = Flaw(f"there is no server {shown(name)}", did_you_mean(name, names))
            self._flaw(path, flaw)
        return None

    # ── settings ──

    def _settings(self, networks: Collection[SeedNetwork]) -> Settings:
        data = dict(self.data.get("settings", {}))
        profile: Profile = data.get("profile", "docs")
        if "quotas" in data:
            data["quotas"] = Quotas(**data["quotas"])
        if "policy" in data:
            data["policy"] = self._policy(data["policy"], networks)
        return Settings(**{**PROFILES[profile], **data})

    def _policy(self, data: Mapping[str, Any], networks: Collection[SeedNetwork]) -> Policy:
        lists: dict[str, Any] = {
            key: tuple(
                self._network(("settings", "policy", key, place), name, networks, None)
                for place, name in enumerate(data[key])
            )
            for key in ("required", "banned")
            if key in data
        }
        for key, ids in lists.items():
            for place, id_ in enumerate(ids):
                if not _UUID.fullmatch(id_) and id_ in {net.label for net in networks}:
                    flaw = Flaw(f"the network {shown(id_)} needs an id to be named here")
                    self._flaw(("settings", "policy", key, place), flaw)
        return Policy(**{**data, **lists})

    # ── what may be there once ──

    def _check_unique(self, section: str, key: str, taken: Iterable[str] = ()) -> None:
        values = [((section, i, key), item.get(key)) for i, item in enumerate(self.data[section])]
        self._check_once(cast("Any", values), taken)

    def _check_once(
        self, values: Iterable[tuple[Path, str | None]], taken: Iterable[str] = ()
    ) -> None:
        seen = set(taken)
        for path, value in values:
            if value in seen:
                secret = path[-1] == "token"
                detail = "is given twice" if secret else f"{shown(value)} is given twice"
                self._flaw(path, Flaw(detail, predicate=True))
            if value is not None:
                seen.add(value)

    def _flaw(self, path: Path, flaw: Flaw) -> None:
        self.flaws.append((path, flaw))


def _fitting_networks(
    name: str, networks: Collection[SeedNetwork], tenant: str | None
) -> list[str]:
    if name.lower() in FIXED_NETWORKS:
        return [name.lower()]
    fitting = [
        network.id or network.label
        for network in networks
        if tenant in {None, network.tenant}
        and (name.lower() == network.id or name == network.label)
    ]
    return [_LABELS[name], *fitting] if name in _LABELS else fitting


def _is_shared(label: str, networks: Collection[SeedNetwork]) -> bool:
    """Return whether a label that stands for want of an id says too little."""
    return sum(network.label == label for network in networks) > 1


def _digest(secret: str | None, digest: Callable[[str], str]) -> str | None:
    return None if secret is None else digest(secret)
