"""What a store holds, as documents: the state that is shown, and the snapshot that is read back.

The house rule: a snapshot is read whole before the first row is written.

Source: control API, sections 2, 3.1 and 3.5 (docs/control-api.md).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from vifsim import cloud
from vifsim.errors import ControlFault
from vifsim.model import (
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
from vifsim.rows import Contents

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from vifsim.backend import Snapshot

SNAPSHOT_VERSION = 1


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
