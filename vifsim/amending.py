"""Changes of the cloud by hand, as the control API offers them.

The house rule: a change is checked whole before a row is written, and what has fallen due by now
has come to pass before it.

Source: control API, section 2, `amend` (docs/control-api.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from vifsim import cloud
from vifsim.errors import ControlFault
from vifsim.model import (
    DEMO_TENANT,
    SERVER_STATUSES,
    BuildFault,
    Network,
    Quotas,
    Server,
    ServerId,
    TenantId,
    User,
)
from vifsim.operations.addressing import room_kind, settle
from vifsim.rows import PUBLIC_NETWORK, SERVICE_NETWORK, Rows

if TYPE_CHECKING:
    from vifsim.backend import Change


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
    await rows.set_sequence(room_kind(network.id), free + 1)


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
