"""A recorded run once more: the same decisions for another client, and where the two part."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
import requests

from vifsim.cli import main
from vifsim.replay import parting
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from pathlib import Path

    from vifsim.facade import Cloud

CLIENT = """
import os, sys, requests
url, server = os.environ["VIFSIM_URL"], os.environ["VIFSIM_SERVER_ID"]
session = requests.Session()
session.headers["X-Auth-Token"] = os.environ["VIFSIM_TOKEN"]
statuses = []
for method, path in [argument.split(":") for argument in sys.argv[1:]]:
    body = None
    if method == "POST":
        body = {"virtual_interface": {"network_id": os.environ["VIFSIM_NETWORK_ID"]}}
    try:
        answer = session.request(method, url + path.format(server=server), json=body)
        statuses.append(answer.status_code)
    except requests.ConnectionError:
        statuses.append(None)
sys.stderr.write(f"{statuses}\\n")
"""
VIFS = "/servers/{server}/os-virtual-interfacesv2"
CREATE, LIST, LIMITS = f"POST:{VIFS}", f"GET:{VIFS}", "GET:/limits"
ASKED = [LIST, LIST, CREATE, CREATE, LIST]

SCENARIO: dict[str, Any] = {
    "version": 1,
    "seed": 7,
    "rules": [
        {"name": "busy", "match": "list_*", "nth": 2, "status": 503, "retry_after": "7s"},
        {"name": "lost", "match": "create_*", "first": 1, "at": "after_commit", "reset": True},
    ],
}


def record(cloud: Cloud, file: Path, asked: list[str]) -> Path:
    """Ask a cloud as the client does, and export its journal."""
    body = {"virtual_interface": {"network_id": cloud.network_id}}
    for method, path in (argument.split(":") for argument in asked):
        try:
            requests.request(
                method,
                cloud.url + path.format(server=cloud.server_id),
                json=body if method == "POST" else None,
                headers={"X-Auth-Token": cloud.token},
                timeout=10,
            )
        except requests.ConnectionError:
            continue
    cloud.journal.export(file)
    return file


@pytest.fixture
def file(vifsim: Cloud, tmp_path: Path) -> Path:
    return record(vifsim, tmp_path / "journal.ndjson", ASKED)


def client(*asked: str) -> list[str]:
    return ["--", sys.executable, "-c", CLIENT, *asked]


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


with_scenario = pytest.mark.vifsim(scenario=SCENARIO)


@with_scenario
def test_the_same_client_meets_the_same(
    file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again.ndjson"

    code = main(["replay", str(file), "--export", str(again), *client(*ASKED)])

    out, err = capfd.readouterr()
    assert code == 0
    assert err == "[200, 503, None, 409, 200]\n"
    assert out == (
        "5 calls, 2 of them under a recorded fault or delay; exit code 0\nthe runs do not part\n"
    )
    told = [[entry["told"], entry["decision"]] for entry in lines_of(file)[1:]]
    assert [[entry["told"], entry["decision"]] for entry in lines_of(again)[1:]] == told


@with_scenario
def test_decisions_belong_to_their_calls_and_not_to_an_order(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main(["replay", str(file), *client(CREATE, LIST, LIMITS, LIST)])

    out, err = capfd.readouterr()
    assert code == 1
    assert err == "[None, 200, 200, 503]\n"
    assert "the runs part here:\n  recorded: entry 1: list_virtual_interfaces" in out


@with_scenario
def test_where_the_runs_part_is_told_call_by_call(
    file: Path, vifsim: Cloud, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main(["replay", str(file), *client(LIST, LIST, CREATE)])

    about = f"server {vifsim.server_id} network {vifsim.network_id}"
    assert code == 1
    assert capfd.readouterr().out.splitlines()[1:] == [
        "the runs part here:",
        f"  recorded: entry 4: create_virtual_interface {about} (the 2nd such call) → 409",
        "  replayed: no further call",
    ]


@with_scenario
def test_without_a_rule_its_calls_pass(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = main(["replay", str(file), "--without", "lost", *client(*ASKED)])

    out, err = capfd.readouterr()
    assert code == 1
    assert err == "[200, 503, 200, 409, 200]\n"
    assert "→ no answer, by lost\n" in out


@pytest.mark.vifsim(scenario={"version": 1, "rules": [{"match": "list_*", "limit": "1/1h"}]})
def test_a_retry_after_that_depended_on_the_time_is_told_again(file: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.ndjson"

    main(["replay", str(file), "--export", str(again), *client(*ASKED)])

    assert lines_of(file)[2]["told"]["retry_after"] == 3600
    assert lines_of(again)[2]["told"] == lines_of(file)[2]["told"]


def test_rules_that_were_added_and_removed_decide_again(
    vifsim: Cloud, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    journal = tmp_path / "journal.ndjson"
    with vifsim.rule(match="list_*", status=503):
        record(vifsim, journal, [LIST])
    record(vifsim, journal, [LIST])

    code = main(["replay", str(journal), *client(LIST, LIST)])

    assert code == 0
    assert capfd.readouterr().err == "[503, 200]\n"


def test_a_world_that_was_given_in_python_is_there_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    user = {"name": "ann", "password": "a-password", "token": "a-token"}
    world = {
        "tenants": [{"id": "77", "users": [user]}],
        "networks": [{"label": "mine", "cidr": "10.0.0.0/24"}],
        "servers": [{"name": "only"}],
    }
    with Simulator(world=world, scenario=SCENARIO) as cloud:
        file = record(cloud, tmp_path / "journal.ndjson", ASKED)

    code = main(["replay", str(file), *client(*ASKED)])

    assert code == 0
    assert capfd.readouterr().err == "[200, 503, None, 409, 200]\n"


def test_a_client_that_stays_away_is_told_so(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = main(["replay", str(file), "--", sys.executable, "-c", "exit(5)"])

    assert code == 3
    assert "never reached the simulator (exit code 5)" in capfd.readouterr().out


def test_a_client_whose_time_is_up_is_ended(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    waits = [sys.executable, "-c", "import threading; threading.Event().wait()"]

    code = main(["replay", str(file), "--time-limit", "200ms", "--", *waits])

    assert code == 3
    assert "(its time was up)" in capfd.readouterr().out


def test_an_empty_journal_exercises_nothing(vifsim: Cloud, tmp_path: Path) -> None:
    file = record(vifsim, tmp_path / "journal.ndjson", [])

    assert main(["replay", str(file), *client(LIST)]) == 4


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--without", "bsy", "--", "true"], "no rule bsy (did you mean busy?)"),
        (["--", "no-such-command-here"], "cannot run no-such-command-here"),
        (["--time-limit", "5", "--", "true"], "not a duration"),
        ([], "which client?"),
    ],
    ids=["rule", "command", "duration", "none"],
)
@with_scenario
def test_what_cannot_be_replayed_is_refused(
    file: Path, arguments: list[str], hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main(["replay", str(file), *arguments])

    err = capfd.readouterr().err
    assert code == 2
    assert hint in err
    assert err.count("\n") == 1


def entry(seq: int, server: str, *, arrived: float, end: float, status: int = 200) -> Any:
    facts = dict.fromkeys(["user", "token_id", "network", "interface", "body_digest"])
    named = {"operation": "get_server", "tenant": "1", "server": server, "n": 1, "seq": seq}
    real = {"arrived": arrived, "end": end}
    told = {"status": status}
    return {**facts, **named, "arrived": arrived, "end": end, "real": real, "told": told}


def test_calls_that_overlapped_may_come_in_another_order() -> None:
    recorded = [entry(1, "a", arrived=0, end=9), entry(2, "b", arrived=1, end=9)]
    replayed = [entry(1, "b", arrived=0, end=9), entry(2, "a", arrived=1, end=9)]

    assert parting(recorded, replayed) is None


def test_calls_that_overlapped_part_where_one_is_missing() -> None:
    recorded = [entry(1, "a", arrived=0, end=9), entry(2, "b", arrived=1, end=9)]
    replayed = [entry(1, "b", arrived=0, end=9), entry(2, "c", arrived=1, end=9)]

    parted = parting(recorded, replayed)

    assert parted is not None
    assert parted.recorded is recorded[0]
    assert parted.replayed is None
