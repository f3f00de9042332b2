"""What a scenario will do is told beforehand, and is what it does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.cli import main
from vifsim.scenario.plan import Plan, plan
from vifsim.scenario.schema import load_mapping, load_named, load_world, shipped_names

if TYPE_CHECKING:
    from tests.conftest import ApiOf, MakeCloud

FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"status": 503, "retry_after": "30s"}, "503 serviceUnavailable, Retry-After in 30 s"),
    ({"status": 503, "retry_after": {"raw": "soon"}}, "503 serviceUnavailable, Retry-After: soon"),
    ({"status": 504}, "504 computeFault (html)"),
    (
        {"status": 503, "at": "after_commit"},
        "503 serviceUnavailable, after the effect",
    ),
    ({"expire_token": True, "at": "after_commit"}, "the cloud's answer; the token dies"),
    ({"reset": True}, "connection reset"),
    ({"close": "before_headers"}, "closed without an answer"),
    ({"close": "mid_body"}, "closed in the middle of the body, after the effect"),
    ({"hang": "60s"}, "silence for 60 s"),
    ({"hang": "forever"}, "silence for ever"),
    ({"drip": "16B/s"}, "the answer at 16 B/s, after the effect"),
    ({"drip": {"chunks": 5, "over": "1s"}}, "the answer in 5 pieces over 1 s, after the effect"),
    ({"truncate": "40%"}, "a body that is cut short, after the effect"),
    ({"corrupt": "not_json"}, "a spoiled body (not_json), after the effect"),
    ({"stale": "2s"}, "what was there 2 s ago"),
    ({"duplicate": {"times": 2, "answer": "last"}}, "its last answer, delivered 2 times"),
    ({"keepalive_cut": True}, "the cloud's answer, then a silent close, after the effect"),
    ({"latency": "250ms"}, "the cloud's answer"),
]


def planned(*rules: dict[str, Any], **options: Any) -> Plan:
    phases = [{"name": "outage", "from": "3s", "for": "3s"}]
    scenario = load_mapping({"version": 1, "phases": phases, "rules": list(rules)})
    return plan(scenario, load_world({}, options.pop("seed", 0)), **options)


@pytest.mark.parametrize(("fault", "words"), FAULTS, ids=[words for _, words in FAULTS])
def test_each_fault_has_its_words(fault: dict[str, Any], words: str) -> None:
    made = planned(fault, operation="list_virtual_interfaces", calls=1)

    assert [step.told for step in made.steps] == [words]


def test_the_timeline_reaches_beyond_what_is_timed() -> None:
    made = planned({"during": "outage", "status": 503})

    assert 6 < made.horizon <= 12
    assert [row.spans for row in made.rows] == [((3.0, 6.0),), ((3.0, 6.0),)]


def test_a_flap_is_drawn_while_it_is_down() -> None:
    made = planned({"flap": {"up": "2s", "down": "1s"}, "status": 503}, calls=8, every=1.0)

    assert made.rows[-1].spans == ((2.0, 3.0), (5.0, 6.0))
    assert [step.kind == "fault" for step in made.steps] == [False, False, True] * 2 + [False] * 2


def test_the_calls_are_of_what_the_rules_are_about() -> None:
    made = planned({"match": "delete_*", "first": 1, "status": 503}, {"latency": "1ms"})

    assert made.operation == "delete_virtual_interface"


async def test_what_is_planned_is_what_happens(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    rules = [{"latency": {"uniform": ["1ms", "5ms"]}}, {"chance": 0.4, "status": 503}]
    document = {"version": 1, "seed": 7, "rules": rules}
    made = plan(load_mapping(document), load_world({}, 7), operation="list_virtual_interfaces")
    cloud = await make_cloud(scenario=document)
    api = api_of(cloud)

    for _ in made.steps:
        await api.ask("GET", f"/servers/{cloud.server_id}/os-virtual-interfacesv2")

    decisions = [call.outcome.decision for call in cloud.journal]
    happened = [(d.by or d.fired[0], d.delay_before + d.delay_after) for d in decisions if d]
    assert happened == [(step.by.split(", ")[-1], step.delay) for step in made.steps]


@pytest.mark.parametrize("name", shipped_names())
def test_the_picture_of_each_shipped_scenario_fits_a_page(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["scenarios", "plan", name])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert lines[:2] == [name, load_named(name).description]
    assert max(len(line) for line in lines[2:]) <= 110
    assert sum(bool(re.match(r" +\d+ ", line)) for line in lines) >= 20


def test_the_calls_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--operation", "list_networks", "--calls", "3", "--every", "2m", "--seed", "9"]

    main(["scenarios", "plan", "slow-tail", *chosen])

    out = capsys.readouterr().out
    assert "3 calls of list_networks, one each 2m\nseed 9;" in out


@pytest.mark.parametrize(
    "wrong",
    [
        ["--calls", "0"],
        ["--every", "5"],
        ["--every", "0s"],
        ["--operation", "creat"],
        ["--seed", "-1"],
    ],
    ids=" ".join,
)
def test_a_wrong_wish_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["scenarios", "plan", "slow-tail", *wrong])
    said = capsys.readouterr().err

    assert (code, said.count("\n")) == (2, 1)
    assert wrong[0] in said
    assert "invalid _" not in said
