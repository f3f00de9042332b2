"""What a simulator shows of itself: the documents of the control API and of the console.

The house rule: everything here is read and nothing changed; what is slow to import or to make is so
for who asks alone.

Source: control API, section 2 (docs/control-api.md); console (docs/console.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vifsim.errors import ControlFault, UsageError
from vifsim.exchange import NAMED_KINDS, facts_of
from vifsim.journal import in_order
from vifsim.recording import explained
from vifsim.version import __version__
from vifsim.worlds import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vifsim.accord import Accord
    from vifsim.backend import Backend
    from vifsim.clock import SimClock
    from vifsim.exchange import Call
    from vifsim.journal import Journal
    from vifsim.rulebook import Rulebook
    from vifsim.scorecard import Run
    from vifsim.worlds import KnownNames, Worlds


class Documents:
    """The documents, as they are now.

    Args:
        backend: whose settings hold.
        book: of rules.
        worlds: that know what the simulator was given.
        known: names, as they were last looked up.
        clock: of the simulator.
        journal: of all calls.
        accord: that knows which process this is.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        book: Rulebook,
        worlds: Worlds,
        known: KnownNames,
        clock: SimClock,
        journal: Journal,
        accord: Accord,
    ) -> None:
        self._backend = backend
        self._book = book
        self._worlds = worlds
        self._known = known
        self._clock = clock
        self._journal = journal
        self._accord = accord

    def health(self) -> dict[str, Any]:
        """Return how the simulator is."""
        process = self._accord.process
        return {
            "status": "ok",
            "version": __version__,
            "backend": _without_password(self._backend.url),
            "seed": self._backend.seed,
            "scenario": self._book.scenario.name,
            **({} if process is None else {"process": process}),
        }

    def clock(self) -> dict[str, Any]:
        """Return what the clock says."""
        now = self._clock.now()
        return {
            "mode": self._clock.mode,
            "speed": self._clock.speed,
            "now": round(now, 6),
            "utc": self._clock.utc(now).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    # ── rules ──

    def scenario(self) -> dict[str, Any]:
        """Return the scenario and its rules, in the order in which they are read."""
        rules: list[dict[str, Any]] = []
        for rule in self._book.rules:
            matched, fired = self._book.counts(rule.id)
            rules.append(
                {
                    "id": rule.id,
                    "origin": rule.origin,
                    "rule": dict(rule.source),
                    "matched": matched,
                    "fired": fired,
                }
            )
        scenario = self._book.scenario
        return {
            "name": scenario.name,
            "description": scenario.description,
            "seed": self._backend.seed,
            "digest": scenario.digest,
            "text": scenario.text,
            "rules": rules,
        }

    def explain(self, seq: int) -> dict[str, Any]:
        """Return every rule's look at one call.

        Raises:
            ControlFault: 404, the entry is not kept.
        """
        call = self._journal.find(seq)
        if call is None:
            raise ControlFault(404, f"no entry {seq}")
        facts = facts_of(call, self._names_in([call]))
        return {"entry": seq, "looks": explained(self._book.looks(facts))}

    def never_fired(self) -> dict[str, Any]:
        """Return the rules that never fired, and what stopped them."""
        found = self._book.never_fired()
        return {"never_fired": [{"rule": rule, "stopped_at": stops} for rule, stops in found]}

    def timeline(self) -> dict[str, Any]:
        """Return where scenario time is, the phases, and when each rule may hold."""
        from vifsim.showing import timeline  # noqa: PLC0415 -- only the console needs it

        return timeline(self._book.scenario, self._book.rules, self._book.faults.state.get("t0"))

    def shipped(self) -> dict[str, Any]:
        """Return the name, description and text of each shipped scenario."""
        from vifsim.showing import shipped  # noqa: PLC0415 -- only the console needs it

        return shipped()

    def _names_in(self, calls: Iterable[Call]) -> dict[str, dict[str, str]]:
        """Return the names that rules were shown, or else are known, behind the ids of calls."""
        servers, networks = self._known.now()
        known = {
            "servers": {found: name for name, found in servers.items()},
            "networks": {found: label for label, found in networks.items()},
            "interfaces": dict[str, str](),
        }
        names = {kind: known[kind] | self._book.faults.seen[kind] for kind in NAMED_KINDS}
        found: dict[str, dict[str, str]] = {kind: {} for kind in NAMED_KINDS}
        for call in calls:
            network = call.network or names["interfaces"].get(call.interface or "")
            behind = (call.server, network, call.interface)
            for kind, identifier in zip(NAMED_KINDS, behind, strict=True):
                if identifier in names[kind]:
                    found[kind][identifier] = names[kind][identifier]
        return found

    # ── the run ──

    def run(self) -> Run:
        """Return what has happened so far, to be judged; no client's end is known."""
        from vifsim.scorecard import Run  # noqa: PLC0415 -- only a verdict needs it

        return Run(
            entries=in_order(self._journal.documents(self._journal)),
            seed=self._backend.seed,
            scenario=self._book.scenario,
            settings=self._backend.settings,
            rules=(*self._book.ever_added.values(), *self._book.rules),
            clock=self._clock.mode,
            speed=self._clock.speed,
            dropped=self._journal.dropped,
        )

    def scorecard(self) -> dict[str, Any]:
        """Return how well the clients of this simulator have coped so far."""
        from vifsim.scorecard import score  # noqa: PLC0415 -- only a verdict needs it

        return score(self.run())

    def clients(self) -> dict[str, Any]:
        """Return how well each client has coped so far."""
        from vifsim.showing import clients  # noqa: PLC0415 -- only the console needs it

        return clients(self.run())

    def export_header(self) -> dict[str, Any]:
        """Return the first line of a journal export."""
        header = self._book.header()
        return {
            "seed": self._backend.seed,
            "scenario": header["scenario"],
            "clock": self._clock.mode,
            "speed": self._clock.speed,
            "started": self._clock.utc(0.0).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "world": without_secrets(self._worlds.base),
            "added": header["added"],
            "names": self._names_in(self._journal),
        }

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document of the simulated API and the control API.

        Raises:
            ControlFault: 501, apispec is not installed.
        """
        from vifsim.http.openapi import document  # noqa: PLC0415 -- only who asks for it needs it

        try:
            return document()
        except UsageError as exc:
            raise ControlFault(501, str(exc)) from exc


def _without_password(url: str) -> str:
    """Return a backend's URL without the password that it may hold."""
    head, at, tail = url.rpartition("@")
    if not at or "://" not in head:
        return url
    scheme, _, credentials = head.partition("://")
    user = credentials.partition(":")[0]
    return f"{scheme}://{user}@{tail}"
