"""What is not as it was: two states of a cloud, held against one another.

The house rule: things are named as people name them, by name and label; what follows from another
line, such as the interfaces of a server that is gone, is not a line of its own.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from vifsim import backend as backends
from vifsim.clock import SimClock
from vifsim.errors import ControlFault
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from vifsim.backend import Backend
    from vifsim.model import World

    Thing = Mapping[str, Any]

_MOST = 8
"""Lines that each kind of thing may take."""
_SIGNS = {"-": "gone", "+": "new", "~": "changed"}


@frozen
class Picture:
    """A cloud at one moment.

    `state` is a backend's `state_document`; `tokens` are those that work, as a snapshot holds them,
    or None where they are not known.
    """

    state: Mapping[str, Any]
    tokens: Sequence[Thing] | None = None


@frozen
class Beginning:
    """How a cloud began, to be looked at later, and only by who must know.

    Args:
        world: that the store was filled with.
        moment: a backend's own, of a store that may have held more.
    """

    world: World
    moment: object | None

    @classmethod
    def of(cls, backend: Backend, world: World) -> Beginning:
        """Return that a cloud begins now."""
        return cls(world=world, moment=backend.moment() if backend.durable else None)

    async def picture(self, backend: Backend) -> Picture | None:
        """Return the cloud as it began, or None where nobody can know that any more."""
        if backend.durable:
            return await self._gone_back_to(backend)
        again = backends.find(backend.url)(backend.url, clock=SimClock(mode="manual"))
        await again.open(self.world)
        try:
            return await picture_of(again)
        finally:
            await again.close()

    async def _gone_back_to(self, backend: Backend) -> Picture | None:
        if self.moment is None:
            return None
        try:
            return Picture(state=await backend.state_at(self.moment))
        except ControlFault:  # too much was written since
            return None


async def picture_of(backend: Backend) -> Picture:
    """Return the cloud as it is."""
    now = backend.clock.epoch()
    tokens = [
        token
        for token in (await backend.snapshot())["tokens"]
        if not token["revoked"] and (token["expires"] is None or token["expires"] > now)
    ]
    return Picture(state=await backend.state_document(), tokens=tokens)


def differences(
    before: Picture, after: Picture, entries: Iterable[Mapping[str, Any]] = ()
) -> list[str]:
    """Return a line for each thing that is new (+), gone (-) or changed (~).

    Args:
        before: the cloud then.
        after: the cloud now.
        entries: of the journal since then; who has made or ended a thing is named.
    """
    blame = {
        (effect["kind"], effect["id"]): f"entry {entry['seq']}"
        for entry in entries
        for effect in entry["effects"]
    }
    kinds = _Comparison(before, after, blame).kinds()
    lines = [line for found in kinds for line in _short(list(found))]
    width = max((len(line.kind) for line in lines), default=0)
    return [line.text(width) for line in lines]


@frozen(kw_only=False)
class _Line:
    sign: str
    kind: str
    what: str
    why: str = ""

    def text(self, width: int) -> str:
        why = f"  ({self.why})" if self.why else ""
        return f"{self.sign} {self.kind:{width}}  {self.what}{why}"


def _short(lines: Sequence[_Line]) -> list[_Line]:
    """Return the lines of one kind, or the first ones and how many there are of the others."""
    if len(lines) <= _MOST:
        return list(lines)
    more = Counter(_SIGNS[line.sign] for line in lines[_MOST - 1 :])
    counted = ", ".join(f"{number} more {what}" for what, number in more.items())
    return [*lines[: _MOST - 1], _Line("…", lines[0].kind, counted)]


class _Comparison:
    """Two pictures, and for each kind of thing the lines that tell them apart."""

    def __init__(
        self, before: Picture, after: Picture, blame: Mapping[tuple[str, str], str]
    ) -> None:
        self._before, self._after, self._blame = before, after, blame

    def kinds(self) -> Iterator[Iterator[_Line]]:
        yield self._values("settings", _settings)
        yield self._values("tenant", _quotas)
        yield self._values("user", _users)
        yield self._things("network", self._pair("networks"), _network)
        yield self._things("server", self._pair("servers"), _server, ("status", "task_state"))
        yield self._things("interface", self._interfaces(), _interface)
        yield self._tokens()

    def _pair(self, key: str) -> tuple[Sequence[Thing], Sequence[Thing]]:
        return self._before.state[key], self._after.state[key]

    def _values(
        self, kind: str, read: Callable[[Mapping[str, Any]], dict[str, Any]]
    ) -> Iterator[_Line]:
        """Compare what is always there: a name and a value each."""
        then, now = read(self._before.state), read(self._after.state)
        for name in then | now:
            if then.get(name) != now.get(name):
                yield _Line("~", kind, f"{name} {_change(then.get(name), now.get(name))}")

    def _things(
        self,
        kind: str,
        pair: tuple[Sequence[Thing], Sequence[Thing]],
        named: Callable[[Thing], str],
        fields: Sequence[str] = (),
    ) -> Iterator[_Line]:
        then, now = ({item["id"]: item for item in items} for items in pair)
        for key, item in then.items():
            if key not in now:
                yield _Line("-", kind, named(item), self._why("deleted", key))
        for key, item in now.items():
            if key not in then:
                yield _Line("+", kind, named(item), self._why("created", key))
            elif changed := _changed(then[key], item, fields):
                yield _Line("~", kind, f"{item['name']}  {changed}")

    def _interfaces(self) -> tuple[Sequence[Thing], Sequence[Thing]]:
        """Return those whose server was there before and after; a server's line tells the rest."""
        before, after = self._pair("servers")
        stayed = {item["id"] for item in before} & {item["id"] for item in after}
        names = {item["name"] for item in after if item["id"] in stayed}
        then, now = self._pair("virtual_interfaces")
        return (
            [item for item in then if item["server"] in names],
            [item for item in now if item["server"] in names],
        )

    def _tokens(self) -> Iterator[_Line]:
        if self._before.tokens is None or self._after.tokens is None:
            return iter(())
        pair = tuple(
            [{**token, "id": token["digest"]} for token in tokens]
            for tokens in (self._before.tokens, self._after.tokens)
        )
        return self._things("token", (pair[0], pair[1]), _token)

    def _why(self, kind: str, key: str) -> str:
        return self._blame.get((kind, key), "")


def _network(item: Thing) -> str:
    return f"{item['label']}  {item['cidr']}"


def _server(item: Thing) -> str:
    on = f" on {', '.join(item['networks'])}" if item["networks"] else ""
    return f"{item['name']}{on}"


def _interface(item: Thing) -> str:
    return f"{item['server']} on {item['network']}"


def _token(item: Thing) -> str:
    return f"of {item['user']}"


def _changed(then: Thing, now: Thing, fields: Sequence[str]) -> str:
    changed = [field for field in fields if then[field] != now[field]]
    return ", ".join(f"{field} {_change(then[field], now[field])}" for field in changed)


def _change(then: object, now: object) -> str:
    return f"{'none' if then is None else then} -> {'none' if now is None else now}"


def _settings(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings; each tenant's quotas say what those among them come to."""
    settings = dict(state["settings"])
    del settings["quotas"]
    policy = settings.pop("policy")
    return settings | {f"policy.{key}": value for key, value in policy.items()}


def _quotas(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{tenant['id']} quotas.{key}": value
        for tenant in state["tenants"]
        for key, value in tenant["quotas"].items()
    }


def _users(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        user["name"]: f"{user['role']}{'' if user['enabled'] else ', disabled'}"
        for tenant in state["tenants"]
        for user in tenant["users"]
    }
