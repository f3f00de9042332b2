"""Why a rule fired for a call or did not: from a running cloud, from a file, in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from vifsim.cli import main
from vifsim.recording import Recording
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from pathlib import Path

    from vifsim.facade import Cloud

SCENARIO: dict[str, Any] = {
    "version": 1,
    "seed": 7,
    "phases": [{"name": "tomorrow", "from": "24h", "for": "1h"}],
    "rules": [
        {"name": "creates", "match": "create_*", "status": 500},
        {"name": "of-web-2", "match": {"server": "web-2"}, "status": 500},
        {"name": "tomorrow", "during": "tomorrow", "status": 500},
        {"name": "the-second", "nth": 2, "match": "list_*", "status": 500},
        {"name": "rarely", "chance": 0.000001, "status": 500},
        {"name": "jitter", "latency": "1ms"},
        {"name": "busy", "match": "list_*", "first": 1, "status": 503},
        {"name": "late", "match": "list_*", "first": 1, "status": 503},
    ],
}
with_rules = pytest.mark.vifsim(scenario=SCENARIO)


def ask(cloud: Cloud, path: str) -> None:
    requests.get(f"{cloud.url}{path}", headers={"X-Auth-Token": cloud.token}, timeout=10)


def send(cloud: Cloud, method: str, path: str, body: Any = None) -> requests.Response:
    headers = {"X-Auth-Token": cloud.token}
    return requests.request(method, f"{cloud.url}{path}", json=body, headers=headers, timeout=10)


@pytest.fixture
def asked(vifsim: Cloud) -> Cloud:
    """A cloud that was asked three times: refused, limited to nothing, and passed."""
    for path in ("/servers", "/servers", "/limits"):
        ask(vifsim, path)
    return vifsim


@pytest.fixture
def exported(asked: Cloud, tmp_path: Path) -> Path:
    file = tmp_path / "journal.ndjson"
    asked.journal.export(file)
    return file


@with_rules
def test_each_rule_says_why_it_fired_or_not(
    asked: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["explain", "1", "--url", asked.url])

    out = capsys.readouterr().out
    verdicts = [line.split(maxsplit=1) for line in out.splitlines()]
    assert code == 0
    assert [rule for rule, _ in verdicts] == [rule["name"] for rule in SCENARIO["rules"]]
    for rule, words in [
        ("creates", "no: match"),
        ("of-web-2", "the call has no server, the rule asks for web-2"),
        ("tomorrow", "s, the rule holds during tomorrow"),
        ("the-second", "call number 1 of its count, the rule asks for nth 2"),
        ("rarely", "is not below 1e-06"),
        ("jitter", "fired            latency 1ms"),
        ("busy", "fired            status 503"),
        ("late", "an earlier rule decided"),
    ]:
        assert words in dict(verdicts)[rule]


@with_rules
def test_a_rule_that_never_fired_says_what_stopped_it_and_how_often(
    asked: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["explain", "--url", asked.url])

    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert told["creates"] == "never fired; stopped by: match 3 times"
    assert told["tomorrow"] == "never fired; stopped by: window 3 times"
    assert told["late"] == "never fired; stopped by: not reached 2 times, match once"
    assert {"busy", "jitter"}.isdisjoint(told)


@with_rules
@pytest.mark.parametrize("entry", [[], ["1"], ["2"], ["3"]], ids=str)
def test_a_file_tells_the_same_as_the_running_cloud(
    asked: Cloud, exported: Path, entry: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["explain", *entry, "--url", asked.url])
    live = capsys.readouterr().out

    main(["explain", *entry, "--journal", str(exported)])

    assert capsys.readouterr().out == live


BY_NAME: dict[str, Any] = {
    "version": 1,
    "rules": [
        {"name": "of-web-2", "match": {"server": "web-2"}, "status": 500},
        {"name": "of-fish", "match": {"network": "fish"}, "status": 500},
        {"name": "of-blue", "match": {"header": {"X-Team": "blue"}}, "status": 500},
        {"name": "below", "match": {"path": "/v3/*"}, "status": 500},
    ],
}


@pytest.mark.vifsim(scenario=BY_NAME)
def test_a_rule_that_asks_for_another_name_is_told_by_name_from_wherever_one_looks(
    vifsim: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"/servers/{vifsim.server_id}/os-virtual-interfacesv2"
    body = {"virtual_interface": {"network_id": vifsim.network_id}}
    made = send(vifsim, "POST", path, body).json()["virtual_interfaces"][0]["id"]
    send(vifsim, "DELETE", f"{path}/{made}")
    send(vifsim, "DELETE", f"/servers/{vifsim.server_id}")
    vifsim.journal.export(tmp_path / "journal.ndjson")

    told: list[list[str]] = []
    for entry in ("1", "2"):
        main(["explain", entry, "--url", vifsim.url])
        live = capsys.readouterr().out
        main(["explain", entry, "--journal", str(tmp_path / "journal.ndjson")])
        assert capsys.readouterr().out == live
        assert [look.detail in live for look in vifsim.explain(int(entry))] == [True] * 4
        told.append(live.splitlines())

    server = f"server is web-1 ({vifsim.server_id}), the rule asks for web-2"
    network = f"network is added_network ({vifsim.network_id}), the rule asks for fish"
    header = "the call has no header X-Team, the rule asks for blue"
    assert told[0] == [
        f"of-web-2  no: match        {server}",
        f"of-fish   no: match        {network}",
        f"of-blue   no: match        {header}",
        f"below     no: match        path is {path}, the rule asks for /v3/*",
    ]
    assert told[1][:3] == told[0][:3]


@pytest.mark.vifsim(checks=[])
def test_a_rule_that_came_after_the_call_knows_its_names(vifsim: Cloud) -> None:
    ask(vifsim, f"/servers/{vifsim.server_id}")
    vifsim.rule(match={"server": "web-1"}, status=500)
    vifsim.rule(match={"server": "db-1"}, status=500)

    details = [look.detail for look in vifsim.explain(1)]

    assert details == [
        "the rule came after the call",
        f"server is web-1 ({vifsim.server_id}), the rule asks for db-1",
    ]


@with_rules
def test_it_can_be_asked_in_python_by_entry(asked: Cloud) -> None:
    by_seq = asked.explain(1)

    by_entry = asked.explain(asked.journal[0])

    assert [look.stopped_at for look in by_entry] == [look.stopped_at for look in by_seq]
    assert [look.rule for look in by_entry if look.fired] == ["jitter", "busy"]


def test_a_cloud_without_rules_has_nothing_to_explain(
    asked: Cloud, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["explain", "1", "--url", asked.url])
    main(["explain", "--journal", str(exported)])

    assert capsys.readouterr().out == "entry 1: no rule was read\nevery rule has fired\n"


def test_an_entry_that_is_not_there_is_refused(
    asked: Cloud, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live = main(["explain", "9", "--url", asked.url])
    from_file = main(["explain", "9", "--journal", str(exported)])

    assert (live, from_file) == (1, 2)
    assert capsys.readouterr().err == "vifsim: no entry 9\nvifsim: the journal has no entry 9\n"


def test_an_export_carries_the_rules_that_were_added_by_hand(vifsim: Cloud, tmp_path: Path) -> None:
    vifsim.rule(name="kept", latency=0.001, match="list_servers")
    with vifsim.rule(match="list_servers", first=1, latency="1ms"):
        ask(vifsim, "/servers")

    vifsim.journal.export(tmp_path / "journal.ndjson")

    recording = Recording.read(tmp_path / "journal.ndjson")
    (entry,) = vifsim.journal
    assert [rule.id for rule in recording.added] == entry.decision.fired
    assert recording.removed == {entry.decision.fired[1]}


async def test_an_export_carries_the_world_without_its_secrets(tmp_path: Path) -> None:
    user = {"name": "ann", "password": "a-password", "api_key": "a-key", "token": "a-token"}
    world = {"tenants": [{"id": "1", "users": [user]}], "networks": [], "servers": []}
    async with Simulator(world={**world, "settings": {"profile": "live"}}) as simulator:
        lines = list(simulator.journal.lines(simulator.export_header()))

    (tmp_path / "journal.ndjson").write_text("".join(f"{line}\n" for line in lines))
    recording = Recording.read(tmp_path / "journal.ndjson")
    assert recording.world["tenants"] == [{"id": "1", "users": [{"name": "ann"}]}]
    assert recording.settings.profile == "live"
    assert "a-" not in "".join(lines)
