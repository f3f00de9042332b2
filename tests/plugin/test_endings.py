"""What is checked when a test ends, and what is told of one that fails."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import RunSuite

GET = """
    import threading
    import httpx
    import pytest

    def get(cloud, path="/os-networksv2", **more):
        headers = {"X-Auth-Token": cloud.token}
        return httpx.get(cloud.url + path, headers=headers, **more).status_code
"""

HANG = """
        vifsim.rule(match="list_networks", hang="forever")
        threading.Thread(target=quiet, args=(vifsim,), daemon=True).start()
        while not vifsim.journal: pass
"""
UNUSED = """
        vifsim.rule(match="create_*", first=1, status=503)
        get(vifsim)
"""
UNKNOWN = """
        get(vifsim, "/severs")
"""
MISTAKES = {
    "rules_fired": (
        UNUSED,
        " (match: create_* · first: 1 · status: 503) never fired: 1 call stopped at match",
    ),
    "known_paths": (UNKNOWN, "asked for what the cloud does not have: GET /severs"),
    "nothing_in_flight": (HANG, "has no answer yet: GET /os-networksv2"),
}
QUIET = """
    def quiet(cloud):
        try:
            get(cloud, timeout=30)
        except httpx.HTTPError:
            pass
"""


@pytest.mark.parametrize("check", MISTAKES)
def test_what_is_wrong_at_the_end_fails_the_test(run_suite: RunSuite, check: str) -> None:
    lines, told = MISTAKES[check]

    run = run_suite(f"{GET}{QUIET}\n    def test_one(vifsim):{lines}")

    assert run.exit_code == 1
    assert f"_\n{check}: " in run.output, "without our own lines above it"
    assert told in run.output


@pytest.mark.parametrize("check", MISTAKES)
def test_each_check_can_be_left_out(run_suite: RunSuite, check: str) -> None:
    lines, _ = MISTAKES[check]
    others = [name for name in [*MISTAKES, "no_straggler"] if name != check]

    run = run_suite(
        f"{GET}{QUIET}\n    @pytest.mark.vifsim(checks={others})\n"
        f"    def test_one(vifsim):\n        {lines}\n"
    )

    assert run.exit_code == 0, run.output


def test_a_client_that_goes_on_is_laid_to_its_own_test(run_suite: RunSuite) -> None:
    run = run_suite(
        GET
        + """
    late = []

    def test_one(vifsim_session):
        late.append(vifsim_session)

    @pytest.fixture
    def between():
        get(late[0])

    def test_two(between, vifsim_session):
        assert get(vifsim_session) == 200
        vifsim_session.journal.calls().exactly(1)
    """,
        "-p",
        "no:randomly",
    )

    assert (run.number("passed"), run.exit_code) == (2, 1), run.output
    assert "a client of test_suite.py::test_one went on after its end: GET" in run.output


@pytest.mark.parametrize("processes", [0, 1])
def test_a_client_that_goes_on_during_the_next_test_is_not_laid_to_that(
    run_suite: RunSuite, processes: int
) -> None:
    run = run_suite(
        GET
        + """
    late = []

    def test_one(vifsim_session):
        client = httpx.Client(base_url=vifsim_session.url)
        client.get("/v2.0")
        late.append(client)

    def test_two(vifsim_session):
        assert get(vifsim_session) == 200
        for _ in ("on the old connection", "on a new one"):
            with pytest.raises(httpx.TransportError):
                late[0].get("/limits")
        late[0].close()
        vifsim_session.journal.calls().exactly(1)
    """,
        "-p",
        "no:randomly",
        f"-n{processes}",
    )

    assert (run.number("passed"), run.exit_code) == (2, 1), run.output
    assert "a client of test_suite.py::test_one went on after its end: GET /limits" in run.output


def test_the_shared_cloud_is_set_up_as_each_test_says(run_suite: RunSuite) -> None:
    run = run_suite(
        GET
        + """
    WORLD = {"servers": [{"name": "only", "tenant": "123456"}]}

    @pytest.fixture(params=[None, WORLD])
    def vifsim_settings(request):
        return {} if request.param is None else {"world": request.param}

    @pytest.mark.vifsim(scenario={"version": 1, "seed": 9})
    def test_one(vifsim_session, vifsim_settings):
        assert ("only" in vifsim_session.servers) == bool(vifsim_settings)
        assert vifsim_session.simulator.seed == 9
        with vifsim_session.rule(match="list_networks", status=503):
            assert get(vifsim_session) == 503

    def test_two(vifsim_session):
        assert vifsim_session.simulator.seed == 0
        assert get(vifsim_session) == 200

    @pytest.mark.vifsim(checks=[])
    def test_three(vifsim_session):
        threading.Timer(0.1, get, [vifsim_session]).start()

    @pytest.fixture(autouse=True)
    def later():
        yield
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()
    """
    )

    assert (run.number("passed"), run.exit_code) == (6, 0), run.output


def test_a_failing_test_ends_with_what_happened(run_suite: RunSuite, tmp_path: Path) -> None:
    run = run_suite(
        GET
        + """
    @pytest.mark.vifsim(scenario="flaky-create", seed=7)
    def test_one(vifsim):
        get(vifsim)
        httpx.post(vifsim.url + "/os-networksv2", headers={"X-Auth-Token": vifsim.token},
                   json={"network": {"label": "x", "cidr": "10.0.0.0/24"}})
        assert get(vifsim) == 418
    """,
        "--vifsim-artifacts",
        "kept",
    )

    assert run.number("failed") == 1
    for told in (
        "seed 7, scenario flaky-create, 3 calls, 0 decided by rules",
        "never fired: 3 calls stopped at match",
        "create_network",
        "+ network  x  10.0.0.0/24  (entry 2)",
        "kept: kept/test_suite.py_test_one\nagain: pytest test_suite.py::test_one --vifsim-seed 7",
    ):
        assert told in run.output
    (folder,) = (tmp_path / "kept").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "journal.har",
        "journal.ndjson",
        "scenario.yaml",
    ]
    assert len(json.loads((folder / "journal.har").read_text())["log"]["entries"]) == 3


ADD_NETWORK = """
    import httpx
    import pytest

    NETWORK = {"network": {"label": "x", "cidr": "10.0.0.0/24"}}
"""
LINE = "  + network  x  10.0.0.0/24  (entry 1)\n"


def test_what_a_failing_test_has_changed_is_told_of_every_kind_of_cloud(
    run_suite: RunSuite, tmp_path: Path
) -> None:
    run = run_suite(
        ADD_NETWORK
        + """
    def add(cloud):
        headers = {"X-Auth-Token": cloud.token}
        assert httpx.post(cloud.url + "/os-networksv2", headers=headers, json=NETWORK).is_success

    def test_shared(vifsim_session):
        add(vifsim_session)
        assert False

    def test_made(make_vifsim, tmp_path):
        add(make_vifsim())
        add(make_vifsim(backend=f"sqlite:///{tmp_path}/cloud.db"))
        assert False

    def test_only_at_its_end(vifsim):
        add(vifsim)
        vifsim.rule(match="create_server", status=503)

    @pytest.mark.asyncio
    async def test_on_its_own_loop(vifsim_autojump):
        async with vifsim_autojump.aiohttp_client() as http:
            await http.post("os-networksv2", json=NETWORK)
        assert False
    """,
    )

    assert (run.number("failed"), run.number("error")) == (3, 1), run.output
    assert run.output.count(LINE) == 5, run.output


def test_what_calls_changed_is_told_where_the_start_is_not_known(run_suite: RunSuite) -> None:
    run = run_suite(
        ADD_NETWORK
        + """
    def test_one(make_vifsim, tmp_path):
        cloud = make_vifsim(backend=f"sqlite:///{tmp_path}/cloud.db")
        cloud.reset()
        headers = {"X-Auth-Token": cloud.token}
        httpx.post(cloud.url + "/os-networksv2", headers=headers, json=NETWORK)
        assert False
    """,
    )

    assert "what calls changed (how this store was at the start is not known):" in run.output
    assert "  created network x  " in run.output


def test_a_failing_expectation_shows_the_calls(run_suite: RunSuite) -> None:
    run = run_suite(
        GET
        + """
    def test_one(vifsim):
        vifsim.rule(match="list_networks", first=1, status=503)
        get(vifsim)
        vifsim.journal.calls("list_networks").told([200])
    """
    )

    assert "list_networks(): told [503], expected [200]" in run.output
    assert "end of the journal:" in run.output


def test_the_calls_say_which_rule_decided_and_which_path_is_unknown(run_suite: RunSuite) -> None:
    run = run_suite(
        GET
        + """
    def test_one(vifsim):
        vifsim.rule(match="list_networks", status=503)
        get(vifsim)
        get(vifsim, "/severs/of/a/tenant/detail")
        assert False
    """
    )

    assert re.search(r"list_networks +503  no +(r-\w{6})\n(.*\n)+  \1: match: list_", run.output)
    assert "    2  GET /severs/of/a/tenant/d…    404  no" in run.output


def test_what_is_wrong_in_a_test_that_failed_is_not_told_twice(run_suite: RunSuite) -> None:
    run = run_suite(
        GET
        + """
    def test_one(vifsim):
        vifsim.rule(match="create_*", first=1, status=503)
        assert get(vifsim) == 418
    """
    )

    assert (run.number("failed"), run.number("error")) == (1, 0), run.output
    assert "never fired: 1 call stopped at match" in run.output


WRONG = {
    "scenario='lost-creat'": "vifsim: there is no scenario lost-creat (did you mean lost-create?)",
    "clock='manaul'": "vifsim: clock mode 'manaul' is none of real, scaled, manual",
    "seed='x'": "vifsim: seed 'x' is not a whole number, 0 or more",
    "checks=['all']": "no check all: there are rules_fired, known_paths",
    "checks='known_paths'": "checks is a list: write checks=['known_paths']",
    "clock='autojump'": "time jumps only where cloud, client and test share a loop",
    "speed=60": "vifsim: speed goes with the scaled clock",
    "sped=2": "the marker vifsim takes scenario, seed, backend, clock, speed, checks by name",
}


def test_a_wrong_setting_is_one_line(run_suite: RunSuite) -> None:
    tests = [
        f"    @pytest.mark.vifsim({wrong})\n    def test_{number}(vifsim): pass\n"
        for number, wrong in enumerate(WRONG)
    ]

    run = run_suite("    import pytest\n" + "".join(tests), "-p", "no:randomly")

    assert run.number("error") == len(WRONG), run.output
    for told in WRONG.values():
        assert f"_\n{told}" in run.output
    assert "During handling" not in run.output


def test_a_mistake_in_a_test_is_shown_where_it_is(run_suite: RunSuite) -> None:
    run = run_suite(
        """
    def test_one(vifsim):
        vifsim.rule(match="list_networks", fist=1, status=503)

    def test_two(make_vifsim):
        make_vifsim(scenario="flaky-creat")

    def test_three(vifsim):
        vifsim.journal.calls("list_network")

    def test_four(vifsim):
        vifsim.amend("set_status", server="web-9", status="ERROR")

    def test_five(vifsim):
        assert vifsim.state.interfaces(server="web-9") == []

    def test_six(make_vifsim):
        make_vifsim(clock="autojump")
    """,
    )

    assert run.number("failed") == 6, run.output
    for told in (
        "rule: fist: unknown key fist (did you mean first?)",
        "there is no scenario flaky-creat (did you mean flaky-create?)",
        "there is no operation list_network (did you mean list_networks?)",
        "no server 'web-9'",
        "there is no server web-9",
        "use the fixture vifsim_autojump",
    ):
        assert told in run.output
    assert "site-packages/vifsim" not in run.output
    assert "vifsim/facade.py" not in run.output


def test_an_expectation_tells_the_calls_that_differ(run_suite: RunSuite) -> None:
    run = run_suite(
        GET
        + """
    def test_one(vifsim):
        get(vifsim, f"/servers/{vifsim.servers['web-2']}/os-virtual-interfacesv2")
        vifsim.journal.calls("list_virtual_interfaces", server="web-1").exactly(1)

    def test_two(vifsim):
        vifsim.effects.none("create_virtual_interface", server="web-x")
    """,
    )

    assert "calls of the same operation that differ:" in run.output
    assert "1  server web-2" in run.output
    assert "there is no server web-x (did you mean web-" in run.output
