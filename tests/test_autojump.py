"""Time that jumps: hours in milliseconds, and no time-out that real time would not have seen."""

from __future__ import annotations

import asyncio
import time  # noqa: TID251 -- the real one, to compare with
from functools import partial
from http import HTTPStatus
from threading import Timer
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest

from vifsim.errors import ControlFault, UsageError
from vifsim.simulator import SIMULATOR, Simulator, create_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from pytest_aiohttp.plugin import AiohttpClient

    Wait = Callable[[float], Awaitable[None]]

INNER = ("-o", "asyncio_default_fixture_loop_scope=function", "-pno:schemathesis", "-pno:anyio")
HOUR, MINUTE = 3600.0, 60.0
sleep = asyncio.sleep  # noqa: TID251 -- what a client under test would do
timeout = asyncio.timeout  # noqa: TID251 -- likewise
CREDENTIALS = {"RAX-KSKEY:apiKeyCredentials": {"username": "demo", "apiKey": "demo-key"}}


class PatientClient:
    """Logs in again on 401, and comes back when it is told to."""

    def __init__(self, http: httpx.AsyncClient, simulator: Simulator) -> None:
        self._http = http
        self._path = f"/servers/{simulator.server_id}/os-virtual-interfacesv2"
        self._token = ""
        self.log_ins = 0

    async def log_in(self) -> None:
        answer = await self._call("POST", "/v2.0/tokens", json={"auth": CREDENTIALS})
        self._token = answer.json()["access"]["token"]["id"]
        self.log_ins += 1

    async def attach(self, network: str) -> None:
        """Attach the server to a network, and detach it again."""
        body = {"virtual_interface": {"network_id": network}}
        made = (await self._call("POST", self._path, json=body)).json()["virtual_interfaces"][0]
        await self._call("DELETE", f"{self._path}/{made['id']}")

    async def list(self) -> None:
        await self._call("GET", self._path)

    async def _call(self, method: str, path: str, **sent: Any) -> httpx.Response:
        while True:
            headers = {"X-Auth-Token": self._token}
            answer = await self._http.request(method, path, headers=headers, **sent)
            if answer.status_code == HTTPStatus.UNAUTHORIZED:
                await self.log_in()
            elif "Retry-After" in answer.headers:
                await sleep(float(answer.headers["Retry-After"]))
            else:
                return answer.raise_for_status()


@pytest.fixture
async def http(vifsim_autojump: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=vifsim_autojump.url, timeout=5) as client:
        yield client


# ── what passes ──


async def test_a_sleep_takes_as_long_as_it_says(vifsim_autojump: Simulator) -> None:
    loop = asyncio.get_running_loop()
    began, really_began = loop.time(), time.monotonic()

    await sleep(24 * HOUR)

    assert loop.time() - began == pytest.approx(24 * HOUR, abs=1e-3)
    assert vifsim_autojump.clock.now() == pytest.approx(24 * HOUR, abs=1e-3)
    assert time.monotonic() - really_began < HOUR


@pytest.mark.vifsim(
    scenario={
        "version": 1,
        "phases": [{"name": "outage", "from": "2h", "for": "30m"}],
        "rules": [
            {"during": "outage", "status": 503, "retry_after": "auto"},
            {"match": "create_virtual_interface", "limit": "4/1m"},
        ],
    }
)
async def test_tokens_die_outages_end_and_windows_open_within_one_test(
    vifsim_autojump: Simulator, http: httpx.AsyncClient
) -> None:
    clock = vifsim_autojump.clock
    client = PatientClient(http, vifsim_autojump)
    await client.log_in()

    for _ in range(9):
        await client.attach(vifsim_autojump.network_id)
    limited_until = clock.now()
    await sleep(2 * HOUR - clock.now())
    await client.list()
    down_until = clock.now()
    await sleep(24 * HOUR)
    await client.list()

    assert limited_until == pytest.approx(2 * MINUTE, abs=0.1)
    assert down_until == pytest.approx(2.5 * HOUR, abs=0.1)
    assert client.log_ins == 2


@pytest.mark.vifsim(scenario={"version": 1, "rules": [{"latency": "1000s"}]})
async def test_injected_delays_pass_at_once(
    vifsim_autojump: Simulator, http: httpx.AsyncClient
) -> None:
    for _ in range(10):
        await http.get("/v2.0", timeout=1001)

    assert vifsim_autojump.clock.now() == pytest.approx(10_000, abs=0.1)


@pytest.mark.vifsim(scenario={"version": 1, "rules": [{"hang": "forever"}]})
async def test_a_time_out_of_httpx_comes_when_it_is_due(
    vifsim_autojump: Simulator, http: httpx.AsyncClient
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await http.get("/v2.0", timeout=300)

    assert vifsim_autojump.clock.now() == pytest.approx(300, abs=0.1)


@pytest.mark.vifsim(scenario={"version": 1, "rules": [{"hang": "forever"}]})
async def test_a_time_out_of_aiohttp_comes_when_it_is_due(vifsim_autojump: Simulator) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=300)) as session:
        with pytest.raises(TimeoutError):
            await session.get(f"{vifsim_autojump.url}/v2.0")

    assert vifsim_autojump.clock.now() == pytest.approx(300, abs=1)


@pytest.mark.vifsim(scenario={"version": 1, "rules": [{"hang": "2h"}]})
async def test_a_time_out_of_asyncio_comes_when_it_is_due(
    vifsim_autojump: Simulator, http: httpx.AsyncClient
) -> None:
    with pytest.raises(TimeoutError):
        async with timeout(HOUR):
            await http.get("/v2.0", timeout=None)

    assert vifsim_autojump.clock.now() == pytest.approx(HOUR, abs=0.1)


@pytest.mark.vifsim(scenario={"version": 1, "rules": [{"drip": {"chunks": 61, "over": "1h"}}]})
async def test_a_drip_takes_its_hour(vifsim_autojump: Simulator, http: httpx.AsyncClient) -> None:
    answer = await http.get("/v2.0", timeout=61)

    assert answer.is_success
    assert vifsim_autojump.clock.now() == pytest.approx(HOUR, abs=0.1)


async def test_simulators_on_one_loop_share_its_time(vifsim_autojump: Simulator) -> None:
    await sleep(HOUR)
    async with Simulator(clock="autojump") as other:
        await sleep(HOUR)
        apart = vifsim_autojump.clock.now() - other.clock.now()
    await sleep(HOUR)

    assert apart == pytest.approx(HOUR, abs=0.1)
    assert vifsim_autojump.clock.now() == pytest.approx(3 * HOUR, abs=0.1)


async def test_it_can_also_be_moved_by_hand(vifsim_autojump: Simulator) -> None:
    await vifsim_autojump.advance_clock("1h")

    assert vifsim_autojump.clock.now() == pytest.approx(HOUR, abs=0.1)


async def test_an_application_jumps_from_its_start_to_its_end(
    aiohttp_client: AiohttpClient,
) -> None:
    loop = asyncio.get_running_loop()
    app = create_app(clock="autojump", scenario={"version": 1, "rules": [{"latency": "1h"}]})
    client = await aiohttp_client(app)

    answer = await client.get("/v2.0", timeout=aiohttp.ClientTimeout(total=2 * HOUR))
    now = app[SIMULATOR].clock.now()
    await client.close()

    assert answer.ok
    assert now == pytest.approx(HOUR, abs=1)
    assert vars(loop).keys().isdisjoint({"run_in_executor"})


# ── what keeps time from jumping ──


async def test_time_stands_while_the_test_itself_works(vifsim_autojump: Simulator) -> None:
    loop = asyncio.get_running_loop()
    began, really_began = loop.time(), time.monotonic()

    while time.monotonic() - really_began < 0.02:
        await sleep(0)

    assert loop.time() - began < 0.001


async def test_time_stands_while_a_store_works_on_its_thread(vifsim_autojump: Simulator) -> None:
    loop, clock = asyncio.get_running_loop(), vifsim_autojump.clock
    done = loop.create_future()
    loop.call_later(HOUR, done.cancel)

    with clock.busy():
        worker = Timer(0.02, partial(loop.call_soon_threadsafe, done.set_result, None))
        worker.start()
        await done
    worker.join()

    assert clock.now() < 1


async def test_an_executor_at_work_makes_time_run_as_ever(vifsim_autojump: Simulator) -> None:
    async with timeout(HOUR):
        await asyncio.to_thread(httpx.get, f"{vifsim_autojump.url}/v2.0")

    assert vifsim_autojump.clock.now() < MINUTE


async def test_a_loop_that_asks_for_the_time_until_it_has_come_ends(
    vifsim_autojump: Simulator,
) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + 1e-5

    while loop.time() < due:
        await sleep(0)

    assert loop.time() >= due


async def churn(simulator: Simulator, rounds: int) -> None:
    """Call over and over, each call under a time-out that only a wrong jump can reach."""
    path = f"{simulator.url}/servers/{simulator.server_id}/os-virtual-interfacesv2"
    body = {"virtual_interface": {"network_id": simulator.network_id}}
    headers = {"X-Auth-Token": simulator.token}
    wait = aiohttp.ClientTimeout(total=0.05)
    for _ in range(rounds):
        async with aiohttp.ClientSession(headers=headers, timeout=wait) as session:
            async with session.post(path, json=body) as made:
                (interface,) = (await made.json())["virtual_interfaces"]
            async with session.delete(f"{path}/{interface['id']}") as gone:
                assert gone.ok
        await sleep(1)


async def test_no_call_times_out_that_would_not_in_real_time(
    each_backend_url: str,
) -> None:
    async with Simulator(clock="autojump", backend=each_backend_url) as simulator:
        await churn(simulator, 10)
        now = simulator.clock.now()

    assert now == pytest.approx(10, abs=0.1)


@pytest.mark.long
@pytest.mark.parametrize("runs", [1000])
async def test_a_thousand_runs_on_memory_see_no_false_time_out(runs: int) -> None:
    for _ in range(runs):
        async with Simulator(clock="autojump") as simulator:
            await churn(simulator, 3)


@pytest.mark.long
@pytest.mark.parametrize("runs", [100])
async def test_a_hundred_runs_on_sqlite_see_no_false_time_out(runs: int, tmp_path: Path) -> None:
    for run in range(runs):
        backend = f"sqlite:////{str(tmp_path).lstrip('/')}/{run}.db"
        async with Simulator(clock="autojump", backend=backend) as simulator:
            await churn(simulator, 3)


# ── what it refuses, and how it ends ──


async def test_the_loop_runs_on_in_real_time_afterwards() -> None:
    loop = asyncio.get_running_loop()
    before = vars(loop).keys() - {"time"}

    async with Simulator(clock="autojump"):
        await sleep(HOUR)
        ahead = loop.time() - time.monotonic()

    assert vars(loop).keys() - {"time"} == before
    assert loop.time() - time.monotonic() == pytest.approx(ahead, abs=0.5)


async def test_a_simulator_that_cannot_start_leaves_the_loop_as_it_was(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    backend = f"sqlite:////{str(tmp_path).lstrip('/')}/missing/cloud.db"

    with pytest.raises(UsageError):
        await Simulator(clock="autojump", backend=backend).start()

    assert "run_in_executor" not in vars(loop)


def test_it_is_refused_in_a_thread_of_its_own() -> None:
    with pytest.raises(UsageError, match="share a loop"), Simulator(clock="autojump"):
        pass


async def test_the_clock_cannot_be_set(vifsim_autojump: Simulator) -> None:
    with pytest.raises(ControlFault, match="jumps by itself"):
        await vifsim_autojump.steer_clock("manual")


def test_another_loop_than_asyncios_is_refused() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def start() -> None:
        await Simulator(clock="autojump").start()

    with pytest.raises(UsageError, match="asyncio's own event loop"):
        uvloop.run(start())


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_the_fixture_works_in_both_modes_of_pytest_asyncio(
    pytester: pytest.Pytester, mode: str
) -> None:
    pytester.makepyfile(
        """
        import asyncio
        import pytest

        @pytest.mark.asyncio
        @pytest.mark.vifsim(seed=7)
        async def test_it(vifsim_autojump):
            await asyncio.sleep(3600)
            assert 3600 <= vifsim_autojump.clock.now() < 3601
            assert vifsim_autojump.seed == 7
        """
    )

    result = pytester.runpytest_inprocess("-o", f"asyncio_mode={mode}", *INNER)

    result.assert_outcomes(passed=1)


def test_the_fixture_says_that_a_clock_of_ones_own_makes_no_sense(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.asyncio
        @pytest.mark.vifsim(clock="manual")
        async def test_it(vifsim_autojump):
            pass
        """
    )

    result = pytester.runpytest_inprocess(*INNER)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*has its own clock*"])


# ── what a test asks ──


@pytest.mark.vifsim(
    scenario={
        "version": 1,
        "rules": [
            {"match": "create_*", "first": 1, "status": 503, "retry_after": "10m"},
            {"name": "lost", "match": "create_*", "first": 1, "at": "after_commit", "status": 503},
        ],
    }
)
async def test_a_simulator_on_the_loop_is_asked_as_a_cloud_is(
    vifsim_autojump: Simulator, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    path = f"/servers/{vifsim_autojump.server_id}/os-virtual-interfacesv2"
    body = {"virtual_interface": {"network_id": vifsim_autojump.network_id}}
    for _ in range(3):
        await http.post(path, json=body, headers={"X-Auth-Token": vifsim_autojump.token})
        await sleep(10 * MINUTE)

    calls = vifsim_autojump.journal.calls("create_*", network="added_network")
    calls.told([503, 503, 409]).exactly(3).waited_at_least(10 * MINUTE)
    vifsim_autojump.effects.exactly_once("create_virtual_interface", server="web-1")
    assert [gap.seq for gap in vifsim_autojump.journal.gaps()] == [2]
    assert [look.rule for look in vifsim_autojump.explain(calls[1]) if look.fired] == ["lost"]
    (interface,) = await vifsim_autojump.state.interfaces(network="added_network")
    assert interface.server == "web-1"
    with pytest.raises(AssertionError, match="told something else"):
        (await vifsim_autojump.invariants()).told_is_true()
    vifsim_autojump.journal.export(tmp_path / "journal.ndjson")
    assert len((tmp_path / "journal.ndjson").read_text().splitlines()) == 4


async def test_a_rule_can_be_added_on_the_loop_for_a_while(
    vifsim_autojump: Simulator, http: httpx.AsyncClient
) -> None:
    with vifsim_autojump.rule(latency=HOUR, match="get_version") as rule:
        await http.get("/v2.0", timeout=2 * HOUR)
    await http.get("/v2.0")

    assert (rule.id.startswith("r-"), vifsim_autojump.clock.now() // HOUR) == (True, 1)
    assert [len(await vifsim_autojump.state.servers()), vifsim_autojump.journal.last] == [3, 2]


@pytest.mark.vifsim(
    scenario={
        "version": 1,
        "rules": [{"match": "create_*", "first": 2, "status": 503, "retry_after": "10m"}],
    }
)
async def test_the_scorecard_judges_waits_of_hours_that_took_no_time(
    vifsim_autojump: Simulator, http: httpx.AsyncClient
) -> None:
    client = PatientClient(http, vifsim_autojump)
    await client.log_in()

    await client.attach(vifsim_autojump.network_id)

    vifsim_autojump.scorecard().require("retry_after_honoured", "transient_retried")
