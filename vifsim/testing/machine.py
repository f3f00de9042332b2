"""A Hypothesis state machine that holds a backend against another one and against the model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from vifsim.clock import SimClock
from vifsim.testing.differential import first_difference
from vifsim.testing.model import AttachmentModel, status_of
from vifsim.testing.steps import CIDRS, STATUSES, MakeBackend, Side, Step

if TYPE_CHECKING:
    from collections.abc import Callable

_PLACE = st.integers(0, 11)
_MODELLED = ("create_virtual_interface", "delete_virtual_interface", "list_virtual_interfaces")
_OTHER = (
    "list_addresses",
    "get_network",
    "list_networks",
    "get_server",
    "list_servers_detail",
    "get_limits",
    "authenticate",
    "restore",
)


class BackendMachine(RuleBasedStateMachine):
    """Does the same steps on two backends; see `backend_machine`."""

    make_backend: ClassVar[MakeBackend]
    make_other: ClassVar[MakeBackend]
    after: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._model: AttachmentModel | None = AttachmentModel()
        clock = SimClock(mode="manual")
        self._sides = (
            self._runner.run(Side.opened("backend", type(self).make_backend, clock)),
            self._runner.run(Side.opened("other", type(self).make_other, clock)),
        )

    @rule(
        operation=st.sampled_from(_MODELLED),
        server=_PLACE,
        network=_PLACE,
        interface=_PLACE,
        beta=st.booleans(),
    )
    def attachments(self, **values: Any) -> None:
        self._do(Step(**values))

    @rule(operation=st.sampled_from(_OTHER), server=_PLACE, network=_PLACE, beta=st.booleans())
    def others(self, **values: Any) -> None:
        self._do(Step(**values))

    @rule(network=_PLACE, text=st.sampled_from(CIDRS), beta=st.booleans())
    def create_network(self, **values: Any) -> None:
        self._forget()
        self._do(Step(operation="create_network", **values))

    @rule(network=_PLACE, beta=st.booleans())
    def delete_network(self, **values: Any) -> None:
        self._forget()
        self._do(Step(operation="delete_network", **values))

    @rule(
        operation=st.sampled_from(["create_server", "delete_server"]),
        server=_PLACE,
        network=_PLACE,
    )
    def servers(self, **values: Any) -> None:
        self._forget()
        self._do(Step(**values))

    @rule(server=_PLACE, text=st.sampled_from(STATUSES))
    def set_status(self, **values: Any) -> None:
        self._forget()
        self._do(Step(operation="set_status", **values))

    @rule(network=_PLACE, interface=_PLACE)
    def fill_network(self, **values: Any) -> None:
        self._forget()
        self._do(Step(operation="fill_network", **values))

    @rule(seconds=st.integers(1, 200_000))
    def wait(self, seconds: int) -> None:
        self._do(Step(operation="wait", seconds=float(seconds)))

    def _forget(self) -> None:
        self._model = None

    def _do(self, step: Step) -> None:
        side = self._sides[0]
        expected = None
        if self._model is not None and step.operation in _MODELLED:
            expected = self._model.expected_status(side, step)
        found = self._runner.run(first_difference([step], self._sides))
        assert found is None, str(found)
        if self._model is not None and expected is not None:
            self._hold(self._model, step, expected)

    def _hold(self, model: AttachmentModel, step: Step, expected: int) -> None:
        """Compare with the model what a list shows, and what was told before it."""
        side = self._sides[0]
        assert status_of(side.last) == expected, f"{step}: {side.last}, the model: {expected}"
        if expected == 200:
            model.learn(side, step, side.last)
        if step.operation == "list_virtual_interfaces" and expected == 200:
            shown = [one["network_id"] for one in side.last]
            assert shown == model.networks_of(side.server(step))

    def teardown(self) -> None:
        for side in self._sides:
            self._runner.run(side.backend.close())
        self._runner.close()
        type(self).after()


def backend_machine(
    backend: MakeBackend, other: MakeBackend, *, after: Callable[[], None] | None = None
) -> type[RuleBasedStateMachine]:
    """Return a state machine over two backends; `run_state_machine_as_test` runs it.

    Both see the same calls. Attachments are held against a small model too, as long as nothing
    has happened that the model does not know.

    Args:
        backend: makes a new empty backend on a clock.
        other: makes what it is held against.
        after: called when an example has ended, to remove what it left.
    """
    members = {
        "make_backend": staticmethod(backend),
        "make_other": staticmethod(other),
        "after": staticmethod(after or _nothing),
    }
    return type("Machine", (BackendMachine,), members)


def _nothing() -> None:
    """Leave what an example made where it is."""
