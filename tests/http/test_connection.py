"""Answers that are given at once: together, in order, and never lost where one has to wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from vifsim.clock import SimClock
from vifsim.http.connection import StampedConnection
from vifsim.http.serving import Life, Runner, StampingServer
from vifsim.http.turns import Turns
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vifsim.clock import Clock
    from vifsim.http.connection import Answering

_HEAD = "HTTP/1.1\r\nHost: here\r\nX-Auth-Token: demo-token\r\n"
GET = f"GET /v2.0 {_HEAD}\r\n".encode()
LAST = f"GET /v2.0 {_HEAD}Connection: close\r\n\r\n".encode()
LIMITS = f"GET /limits {_HEAD}\r\n".encode()


class Wire(asyncio.Transport):
    """A connection whose other end is a list of what was written.

    Args:
        log: to which all connections of a test note their writes.
    """

    def __init__(self, name: str, log: list[tuple[str, bytes]]) -> None:
        super().__init__({"peername": (name, 1)})
        self._name, self._log = name, log
        self.protocol: Any = None
        self.closed = False

    def write(self, data: Any) -> None:
        self._log.append((self._name, bytes(data)))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Desk:
    """Answers as it is told to, and notes what becomes of its calls."""

    at_once = True

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[Any] | None] = []
        self.waits_for: asyncio.Future[str] | None = None
        self.fails: BaseException | None = None  # the next call, and no other
        self.told: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.tasks.append(asyncio.current_task())
        fails, self.fails = self.fails, None
        if fails is not None:
            raise fails
        text = "at once"
        if self.waits_for is not None:
            try:
                text = await self.waits_for
            except asyncio.CancelledError:
                self.told.append(f"{request.path} is cut")
                raise
        self.told.append(f"{request.path} is told")
        return web.Response(text=text)


Made = tuple[StampedConnection, Wire]


class Server:
    """Connections to a desk or to a whole cloud."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.written: list[tuple[str, bytes]] = []

    async def connect(self, name: str = "client") -> Made:
        """Return a connection that waits for its first request."""
        assert self.runner.server is not None
        connection: Any = self.runner.server()
        wire = Wire(name, self.written)
        wire.protocol = connection
        connection.connection_made(wire)
        await turns()
        return connection, wire

    @property
    def answers(self) -> list[tuple[str, int, str]]:
        """Who was answered, with which status, and the last line."""
        return [
            (name, int(data.split()[1]), data.decode().rpartition("\n")[2])
            for name, data in self.written
            if data.startswith(b"HTTP/")
        ]


async def turns(number: int = 8) -> None:
    for _ in range(number):
        await asyncio.sleep(0)  # noqa: TID251 -- one turn of the loop, whatever the time


async def nothing() -> None: ...


async def unrouted(request: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound(text=request.path)


async def served(clock: Clock, answering: Answering) -> Server:
    """Serve what answers over connections that a test makes by hand."""
    life = Life(nothing, nothing, nothing)
    runner = Runner(clock, answering, routed="/_vifsim", router=unrouted, life=life)
    await runner.setup()
    return Server(runner)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def server(desk: Desk) -> AsyncIterator[Server]:
    made = await served(SimClock(), desk)
    yield made
    await made.runner.cleanup()


@pytest.fixture
async def whole() -> AsyncIterator[tuple[Simulator, Server]]:
    """A cloud in which limits are slow, and connections to it."""
    rules = [{"name": "slow", "match": "get_limits", "latency": "10s"}]
    scenario = {"version": 1, "rules": rules}
    async with Simulator(scenario=scenario, clock="manual") as simulator:
        made = await served(simulator.clock, simulator.edge)
        yield simulator, made
        await made.runner.cleanup()


# ── at once ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_request_that_need_not_wait_gets_no_task(server: Server, desk: Desk) -> None:
    connection, _ = await server.connect()

    connection.data_received(GET)
    await turns()

    assert desk.tasks == [None]
    assert [answer[1:] for answer in server.answers] == [(200, "at once")]


async def test_what_comes_in_one_turn_is_answered_before_any_of_it_is_written(
    whole: tuple[Simulator, Server],
) -> None:
    simulator, server = whole
    several = [await server.connect(name) for name in "abc"]
    ends: list[int] = []
    simulator.journal.listeners.append(
        lambda call: ends.append(len(server.written)) if call.outcome.ending else None
    )

    for connection, _ in several:
        connection.data_received(GET)
    await turns()

    assert ends == [0, 0, 0]
    assert [name for name, *_ in server.answers] == ["a", "b", "c"]


async def test_more_than_a_round_holds_is_answered_in_the_next(
    whole: tuple[Simulator, Server],
) -> None:
    _, server = whole
    several = [await server.connect(str(number)) for number in range(200)]

    for connection, _ in several:
        connection.data_received(GET)
    await turns()

    assert [name for name, *_ in server.answers] == [str(number) for number in range(200)]


async def test_a_connection_is_used_again(whole: tuple[Simulator, Server]) -> None:
    _, server = whole
    connection, wire = await server.connect()

    for _ in range(3):
        connection.data_received(GET)
        await turns()

    assert [status for _, status, _ in server.answers] == [200] * 3
    assert not wire.closed


async def test_an_idle_connection_has_a_timer_also_where_the_last_was_due_amid_a_request(
    whole: tuple[Simulator, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, server = whole
    loop, timers = asyncio.get_running_loop(), list[Any]()
    later = loop.call_at

    def noted(when: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        timers.append((when, act))
        return later(when + 86_400, act)  # the test's hand is quicker

    monkeypatch.setattr(loop, "call_at", noted)
    connection, _ = await server.connect()
    ((due, act),) = timers
    monkeypatch.setattr(loop, "time", lambda: due)

    connection.data_received(GET)
    act()
    await turns()

    assert [when for when, _ in timers] == [due, due + connection.keepalive_timeout]


# ── in order ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cut_at", [0, 10, len(GET) - 1, len(GET), len(GET) + 5])
async def test_pipelined_requests_are_answered_in_order(
    server: Server, desk: Desk, cut_at: int
) -> None:
    connection, _ = await server.connect()
    both = GET + GET.replace(b"/v2.0", b"/second")

    connection.data_received(both[:cut_at])
    connection.data_received(both[cut_at:])
    await turns(16)

    assert desk.told == ["/v2.0 is told", "/second is told"]
    assert len(server.answers) == 2


async def test_a_request_came_when_it_came_whatever_was_asked_before(
    whole: tuple[Simulator, Server],
) -> None:
    simulator, server = whole
    connection, _ = await server.connect()
    connection.data_received(GET.replace(b"/v2.0", b"/_vifsim/nowhere"))
    await turns()
    await simulator.clock.advance(5)

    connection.data_received(GET + GET)
    await turns()

    assert [call.arrived for call in simulator.journal] == [5.0, 5.0]


async def test_what_was_sent_behind_a_last_request_is_not_answered(
    whole: tuple[Simulator, Server],
) -> None:
    simulator, server = whole
    connection, wire = await server.connect()
    connection.data_received(GET)
    connection.data_received(GET)

    simulator.edge.ending = True
    await turns()

    assert [status for _, status, _ in server.answers] == [200]
    assert wire.closed


async def test_a_connection_whose_task_was_ended_lets_others_have_their_answers(
    whole: tuple[Simulator, Server],
) -> None:
    _, server = whole
    ended, _ = await server.connect("ended")
    (task,) = asyncio.all_tasks() - {asyncio.current_task()}
    other, _ = await server.connect("other")
    ended.data_received(GET)
    ended.data_received(GET)
    other.data_received(GET)

    task.cancel()
    await turns()

    assert ("other", 200) in [answer[:2] for answer in server.answers]


@pytest.mark.parametrize(("ahead", "turns_taken"), [(1, 0), (2, 1), (5, 4)])
async def test_a_request_that_others_were_sent_behind_takes_its_turn(
    server: Server, monkeypatch: pytest.MonkeyPatch, ahead: int, turns_taken: int
) -> None:
    taken: list[Turns] = []
    take = Turns.take

    async def noted(self: Turns) -> None:
        taken.append(self)
        await take(self)

    monkeypatch.setattr(Turns, "take", noted)
    connection, _ = await server.connect()

    connection.data_received(GET * ahead)
    await turns(16 * ahead)

    assert len(server.answers) == ahead
    assert len(taken) == turns_taken


async def test_a_request_behind_one_that_waits_waits_too(server: Server, desk: Desk) -> None:
    desk.waits_for = asyncio.get_running_loop().create_future()
    connection, _ = await server.connect()
    connection.data_received(GET)
    await turns()

    connection.data_received(GET.replace(b"/v2.0", b"/second"))
    await turns()
    before = list(desk.told)
    desk.waits_for.set_result("late")
    await turns(16)

    assert before == []
    assert desk.told == ["/v2.0 is told", "/second is told"]
    assert [body for *_, body in server.answers] == ["late", "late"]


# ── what has to wait ─────────────────────────────────────────────────────────────────────────────


async def test_a_request_that_waits_is_answered_when_its_time_has_come(
    server: Server, desk: Desk
) -> None:
    desk.waits_for = asyncio.get_running_loop().create_future()
    connection, _ = await server.connect()

    connection.data_received(GET)
    await turns()
    desk.waits_for.set_result("late")
    await turns()

    assert desk.told == ["/v2.0 is told"]
    assert [answer[1:] for answer in server.answers] == [(200, "late")]


async def test_calls_that_wait_have_no_tasks_and_are_answered_together(
    whole: tuple[Simulator, Server],
) -> None:
    simulator, server = whole
    several = [await server.connect(name) for name in "abc"]
    tasks = len(asyncio.all_tasks())
    for connection, _ in several:
        connection.data_received(LIMITS)
    await turns()
    parked = len(asyncio.all_tasks()), simulator.journal.under_way
    ends: list[int] = []
    simulator.journal.listeners.append(lambda _: ends.append(len(server.written)))

    await simulator.clock.advance(10)

    assert parked == (tasks, 3)
    assert ends == [0, 0, 0]
    assert [(name, status) for name, status, _ in server.answers] == [
        ("a", 200),
        ("b", 200),
        ("c", 200),
    ]


async def test_what_is_not_at_once_begins_in_a_task(server: Server, desk: Desk) -> None:
    desk.at_once = False
    connection, _ = await server.connect()

    connection.data_received(GET)
    await turns()

    assert desk.tasks != [None]
    assert len(server.answers) == 1


@pytest.mark.parametrize(
    "request_text",
    [
        f"GET /v2.0 {_HEAD}Connection: close\r\n\r\n",
        f"HEAD /v2.0 {_HEAD}\r\n",
        f"POST /v2.0 {_HEAD}Content-Length: 2\r\n\r\n",
        f"GET /v2.0 {_HEAD}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET /v2.0 HTTP/1.0\r\nHost: here\r\n\r\n",
    ],
    ids=["the last", "without a body", "not whole", "to be upgraded", "of old"],
)
async def test_what_is_out_of_the_way_begins_in_a_task(
    server: Server, desk: Desk, request_text: str
) -> None:
    connection, _ = await server.connect()

    connection.data_received(request_text.encode())
    await turns()

    assert len(desk.tasks) == 1
    assert desk.tasks != [None]


async def test_a_failure_is_told_and_logged_as_aiohttp_does(
    server: Server, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.fails = ValueError("a header holds a line break")
    connection, _ = await server.connect()

    connection.data_received(GET)
    await turns()

    assert [status for _, status, _ in server.answers] == [500]
    assert "a header holds a line break" in caplog.text


@pytest.mark.parametrize("fails", [ValueError(), asyncio.CancelledError()], ids=repr)
async def test_a_call_that_fails_takes_no_other_with_it(
    server: Server, desk: Desk, fails: BaseException
) -> None:
    first, second = await server.connect("first"), await server.connect("second")
    desk.fails = fails

    for connection, _ in (first, second):
        connection.data_received(GET)
    await turns()

    assert [name for name, status, _ in server.answers if status == 200] == ["second"]


# ── who leaves ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("passed", range(5))
async def test_a_client_that_leaves_ends_its_call_whenever_it_does(
    whole: tuple[Simulator, Server], passed: int
) -> None:
    simulator, server = whole
    connection, wire = await server.connect()
    connection.data_received(LIMITS)
    await turns(passed)

    wire.close()
    await turns()

    assert [call.outcome.ending for call in simulator.journal] in ([], ["client_gone"])
    assert simulator.journal.under_way == 0
    await simulator.clock.advance(20)
    assert server.answers == []


async def test_a_call_whose_client_has_left_before_its_answer_ends_once(
    whole: tuple[Simulator, Server],
) -> None:
    simulator, server = whole
    connection, wire = await server.connect()
    ends: list[str] = []
    simulator.journal.listeners.append(
        lambda call: ends.append(call.outcome.ending) if call.outcome.ending else None
    )
    connection.data_received(GET)

    wire.close()
    await turns()

    assert ends == ["client_gone"]
    assert server.answers == []


@pytest.mark.parametrize("passed", range(1, 5))
async def test_a_call_that_is_cut_ends_its_connection_whenever_it_is(
    whole: tuple[Simulator, Server], passed: int
) -> None:
    simulator, server = whole
    connection, wire = await server.connect()
    connection.data_received(LIMITS)
    await turns(passed)

    simulator.edge.cut_calls()
    await turns()

    assert [call.outcome.ending for call in simulator.journal] == ["server_cut"]
    assert wire.closed
    assert server.answers == []


@pytest.mark.parametrize("passed", range(6))
@pytest.mark.parametrize("request_", [GET, LAST], ids=["at once", "in a task"])
async def test_a_server_that_ends_answers_what_has_come(
    whole: tuple[Simulator, Server], request_: bytes, passed: int
) -> None:
    simulator, server = whole
    connection, wire = await server.connect()
    connection.data_received(request_)
    await turns(passed)

    simulator.edge.ending = True
    assert isinstance(server.runner.server, StampingServer)
    server.runner.server.end_idle()
    await turns()

    assert [status for _, status, _ in server.answers] == [200]
    assert wire.closed
