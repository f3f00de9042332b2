"""How many calls of each kind have come: call keys, and counts that forget what nobody uses.

The house rule: counting stands on the way of every call under a scenario, so that each line here is
paid for a million times; whoever goes back in time pays for the way back instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any

from vifsim.errors import ControlFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vifsim.exchange import Call

_LONGEST_KEY = 256
"""Ids are UUIDs; what is longer is made up by a client, who chooses how long, and is digested."""


def call_key(call: Call) -> str:
    """Return the key under which a call's arrivals count and its draws are made.

    Source: scenario format, "The same every time" (docs/scenarios.md).
    """
    return _bounded(
        f"{call.tenant}|{call.operation or 'unknown'}|{call.server}|"
        f"{call.network or call.interface or call.body_digest}"
    )


def _bounded(key: str) -> str:
    if len(key) <= _LONGEST_KEY:
        return key
    return blake2b(key.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


MOST_KEYS = 100_000
"""Keys that one count remembers; a client that makes up ids must not fill the memory."""

_FORGOTTEN_AT_ONCE = 1_000


def count_up(counts: dict[str, int], key: str) -> int:
    """Count one more under a key and return how many there are; keys stand in order of use.

    Above `MOST_KEYS` those that have not been used for longest are forgotten.

    Source: scenario format, "The same every time" (docs/scenarios.md).
    """
    number = counts[key] = counts.pop(key, 0) + 1
    if len(counts) > MOST_KEYS:
        forget_oldest(counts)
    return number


def forget_oldest(counts: dict[str, Any]) -> None:
    """Forget some of what was put in first.

    A few at a time: nobody should have to wait for it. Not one by one: a dict passes over all that
    was deleted at its front to come to the first that is left.
    """
    for key in list(islice(counts, _FORGOTTEN_AT_ONCE)):
        del counts[key]


class Tally:
    """How many calls of one key have arrived.

    Attributes:
        n: how many.
        seen: how many there were when keys that nobody uses were last looked for, at first one.
        free: what says that calls of this key are no rule's business, to whoever put it here.
    """

    __slots__ = ("free", "n", "seen")

    def __init__(self, n: int) -> None:
        self.n = n
        self.seen = n or 1
        self.free: object = None


_MOST_LOGGED = 20_000


class Arrivals(Mapping[str, int]):
    """How many calls of each call key have arrived, and which came last.

    The last ones are known by their tallies: to keep their keys, one for each call, would push out
    of the processor's caches what calls need.

    Args:
        counts: that it begins with.

    Attributes:
        tallies: of each key.
        last: the tallies of the calls that came last; `trim` is due above `MOST_LOGGED`.
    """

    __slots__ = ("_dropped", "last", "tallies")

    MOST_LOGGED = 2 * _MOST_LOGGED

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self.tallies = {key: Tally(n) for key, n in (counts or {}).items()}
        self.last: list[Tally] = []
        self._dropped = 0

    def __getitem__(self, key: str) -> int:
        return self.tallies[key].n

    def __iter__(self) -> Iterator[str]:
        return iter(self.tallies)

    def __len__(self) -> int:
        return len(self.tallies)

    def __deepcopy__(self, memo: object) -> Arrivals:
        """Return arrivals that begin with these counts."""
        return Arrivals(self)

    @property
    def total(self) -> int:
        """How many calls were counted here."""
        return self._dropped + len(self.last)

    def count(self, key: str) -> int:
        """Count one more call, and return how many of its key there are."""
        tally = self.tally(key)
        tally.n += 1
        self.last.append(tally)
        if len(self.last) > self.MOST_LOGGED:
            self.trim()
        return tally.n

    def tally(self, key: str) -> Tally:
        """Return the tally of a key, made where there is none.

        Above `MOST_KEYS` some of those are forgotten that nobody has used for long.
        """
        key = _bounded(key)
        found = self.tallies.get(key)
        if found is None:
            found = self.tallies[key] = Tally(0)
            if len(self.tallies) > MOST_KEYS:
                self._forget()
        return found

    def _forget(self) -> None:
        """Go through the first keys: those used since somebody did so last go to the end."""
        for key in list(islice(self.tallies, _FORGOTTEN_AT_ONCE)):
            tally = self.tallies.pop(key)
            if tally.n != tally.seen:
                tally.seen = tally.n
                self.tallies[key] = tally

    def trim(self) -> None:
        """Forget which calls came long ago."""
        surplus = len(self.last) - _MOST_LOGGED
        del self.last[:surplus]
        self._dropped += surplus

    def before(self, total: int) -> dict[str, int]:
        """Return the counts of when so many calls had been counted.

        Raises:
            ControlFault: 409, that was too long ago.
        """
        back = self.total - total
        counts = {tally: tally.n for tally in self.tallies.values()}
        since = self.last[max(0, len(self.last) - back) :]
        if back > _MOST_LOGGED or not counts.keys() >= set(since):
            raise ControlFault(409, "too many calls have arrived since to count back to then")
        for tally in since:
            counts[tally] -= 1
        return {key: n for key, tally in self.tallies.items() if (n := counts[tally])}
