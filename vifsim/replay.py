"""A recorded run once more, with another client: the same decisions, and where the two runs part.

The house rule: a pure comparison of entries; who runs the client is the command line.

Source: docs/scenarios.md, "Replay".
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any

from vifsim.errors import UsageError
from vifsim.recording import place_of
from vifsim.scenario.flaws import did_you_mean
from vifsim.simulator import Simulator
from vifsim.values import frozen
from vifsim.worlds import with_demo_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vifsim.recording import Recording


@frozen
class Parting:
    """The first call that only one of two runs has, or that the two were told differently.

    Attributes:
        recorded: the entry of the recorded run, None where that had ended.
        replayed: likewise of the other.
    """

    recorded: Mapping[str, Any] | None
    replayed: Mapping[str, Any] | None


def replaying(recording: Recording, *, without: str | None = None) -> Simulator:
    """Return a simulator, not yet started, that decides as a recorded one did.

    Args:
        recording: of the run.
        without: a rule that is left out, with every decision in which it had a part.

    Raises:
        UsageError: the recording has no such rule.
    """
    known = [rule.id for rule in recording.rules]
    if without is not None and without not in known:
        hint = did_you_mean(without, known) or f"it has: {', '.join(known) or 'none'}"
        raise UsageError(f"the journal has no rule {without} ({hint})")
    scaled = recording.header["clock"] == "scaled"
    simulator = Simulator(
        scenario=replace(recording.scenario, world=with_demo_secrets(recording.scenario.world)),
        seed=recording.seed,
        world=with_demo_secrets(recording.world),
        clock="scaled" if scaled else "real",
        speed=recording.header["speed"] if scaled else 1.0,
    )
    gone = recording.removed if without is None else recording.removed | {without}
    simulator.impose(recording.decisions(without=without), recording.added, gone)
    return simulator


def parting(
    recorded: Sequence[Mapping[str, Any]], replayed: Sequence[Mapping[str, Any]]
) -> Parting | None:
    """Return where two runs part, or None where they do not.

    Calls that came one after the other are compared in their order. Where calls overlapped, order
    means nothing, and each is compared with its like: the same call key, the same arrival.
    """
    if _is_serial(recorded) and _is_serial(replayed):
        return _first_difference(recorded, replayed)
    return _first_stranger(recorded, replayed)


def _is_serial(entries: Sequence[Mapping[str, Any]]) -> bool:
    return all(
        before["end"] is not None and before["end"] <= after["arrived"]
        for before, after in pairwise(entries)
    )


def _first_difference(
    recorded: Sequence[Mapping[str, Any]], replayed: Sequence[Mapping[str, Any]]
) -> Parting | None:
    for old, new in zip_longest(recorded, replayed):
        if old is None or new is None or _differ(old, new):
            return Parting(recorded=old, replayed=new)
    return None


def _differ(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return place_of(old) != place_of(new) or _status(old) != _status(new)


def _first_stranger(
    recorded: Sequence[Mapping[str, Any]], replayed: Sequence[Mapping[str, Any]]
) -> Parting | None:
    olds = {place_of(entry): entry for entry in recorded}
    news = {place_of(entry): entry for entry in replayed}
    for entry in sorted((*recorded, *replayed), key=lambda entry: float(entry["arrived"])):
        old, new = olds.get(place_of(entry)), news.get(place_of(entry))
        if old is None or new is None or _status(old) != _status(new):
            return Parting(recorded=old, replayed=new)
    return None


def _status(entry: Mapping[str, Any]) -> int | None:
    told = entry["told"]
    return None if told is None else int(told["status"])
