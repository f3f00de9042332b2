"""The search for a schedule that breaks a client, on clients that are functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import yaml

from vifsim.chaos.faults import (
    KINDS,
    Fault,
    Site,
    faults_at,
    is_survivable,
    ordinal,
    scenario_of,
    schedule_of,
)
from vifsim.chaos.finding import found_text
from vifsim.chaos.search import Found, Hunt, Trial, simpler, without_one
from vifsim.model import OPERATIONS
from vifsim.scenario.schema import load_mapping

if TYPE_CHECKING:
    from collections.abc import Callable

    from vifsim.chaos.faults import At, Schedule
    from vifsim.chaos.search import Outcome

CREATE, LIST = "create_virtual_interface", "list_virtual_interfaces"
NAMED = {kind.name: kind for kind in KINDS}


def fault(operation: str, nth: int, kind: str, at: At = "before") -> Fault:
    return Fault(site=Site(operation=operation, nth=nth), kind=NAMED[kind], at=at)


@dataclass
class Client:
    """A client that creates once and lists once, and creates again after a failed create."""

    breaks: Callable[[Schedule, int], bool]
    tried: list[Schedule] = field(default_factory=list["Schedule"])

    async def run(self, schedule: Schedule) -> Trial:
        self.tried.append(schedule)
        again = any(one.site == Site(operation=CREATE, nth=1) for one in schedule)
        broken = self.breaks(schedule, self.tried.count(schedule))
        return Trial(
            schedule=schedule,
            sites={CREATE: 2 if again else 1, LIST: 1},
            symptoms=("exit code 1",) if broken else (),
        )

    async def hunted(self, runs: int = 500, seed: int = 1, jobs: int = 1) -> Outcome:
        hunt = Hunt(self.run, time_limit=60.0, runs=runs, seed=seed, jobs=jobs)
        return await hunt.search()


def sound(_schedule: Schedule, _times: int) -> bool:
    return False


def broken(_schedule: Schedule, _times: int) -> bool:
    return True


def has(*wanted: Fault) -> Callable[[Schedule, int], bool]:
    return lambda schedule, _: set(wanted) <= set(schedule)


async def test_a_client_that_nothing_breaks_is_told_so_and_every_single_fault_was_tried() -> None:
    client = Client(sound)

    outcome = await client.hunted(runs=100)

    every = [one for name in (CREATE, LIST) for one in faults_at(Site(operation=name, nth=1))]
    assert outcome.found is None
    assert outcome.runs == 1 + 100
    assert {(one,) for one in every} <= set(client.tried)


async def test_a_single_fault_that_breaks_a_client_is_found() -> None:
    wanted = fault(CREATE, 1, "reset", "after_commit")

    outcome = await Client(has(wanted)).hunted()

    assert outcome.found
    assert outcome.found.trial.schedule == (wanted,)
    assert outcome.found.held == 3


async def test_a_fault_at_a_call_that_another_one_caused_is_found_before_other_pairs() -> None:
    first, second = fault(CREATE, 1, "503"), fault(CREATE, 2, "not-json")
    client = Client(has(first, second))

    outcome = await client.hunted()

    assert outcome.found
    assert outcome.found.trial.schedule == (first, second)
    found_at = client.tried.index((first, second))
    assert all(
        any(one.site.nth == 2 for one in schedule)
        for schedule in client.tried[:found_at]
        if len(schedule) == 2
    )


async def test_a_pair_of_faults_at_the_clients_usual_calls_is_found() -> None:
    wanted = {fault(CREATE, 1, "keepalive-cut"), fault(LIST, 1, "truncated")}

    outcome = await Client(has(*wanted)).hunted(runs=2000)

    assert outcome.found
    assert set(outcome.found.trial.schedule) == wanted


async def test_a_schedule_loses_the_faults_it_does_not_need_and_the_others_become_simpler() -> None:
    client = Client(lambda schedule, _: any(one.site.nth == 2 for one in schedule))

    outcome = await client.hunted()

    assert outcome.found
    assert len(outcome.found.began_with) == 2
    assert [one.id for one in outcome.found.trial.schedule] == ["create-virtual-interface-2-503"]


async def test_what_fails_once_and_not_again_is_a_flicker() -> None:
    noisy = fault(CREATE, 1, "500")
    client = Client(lambda schedule, times: schedule == (noisy,) and times == 1)

    outcome = await client.hunted(runs=30)

    assert outcome.found is None
    assert outcome.flickers == ((noisy,),)


async def test_what_fails_in_two_runs_of_three_is_found_with_its_number() -> None:
    noisy = fault(CREATE, 1, "503")
    client = Client(lambda schedule, times: schedule == (noisy,) and times != 2)

    outcome = await client.hunted()

    assert outcome.found
    assert outcome.found.held == 2
    assert outcome.found.story()[2] == "So: exit code 1 (2 of 3 runs)."


async def test_a_client_that_fails_on_a_calm_cloud_needs_no_fault() -> None:
    outcome = await Client(broken).hunted()

    assert outcome.found
    assert outcome.found.trial.schedule == ()
    assert outcome.found.story()[0] == "Nothing at all goes wrong."


async def test_the_seed_repeats_the_search() -> None:
    clients = [Client(sound) for _ in range(3)]

    for client, seed in zip(clients, (1, 1, 2), strict=True):
        await client.hunted(runs=400, seed=seed)

    same, again, other = (client.tried for client in clients)
    assert same == again != other


async def test_several_at_once_find_the_same() -> None:
    wanted = fault(LIST, 1, "stale")

    outcomes = [await Client(has(wanted)).hunted(jobs=jobs) for jobs in (1, 7)]

    one, several = (outcome.found for outcome in outcomes)
    assert one
    assert several
    assert one.trial.schedule == several.trial.schedule


def test_a_fault_that_is_removed_takes_the_calls_that_it_caused_with_it() -> None:
    first, second = fault(CREATE, 1, "503"), fault(CREATE, 2, "reset")

    assert list(without_one((first, second))) == [
        (second,),
        (fault(CREATE, 1, "reset"),),
        (first,),
    ]


def test_simpler_schedules_come_to_an_end() -> None:
    schedule: Schedule = (fault(CREATE, 5, "hang", "after_commit"), fault(LIST, 3, "stale"))
    steps: list[Schedule] = [schedule]

    while further := list(simpler(steps[-1])):
        steps.append(further[-1])

    assert [one.kind.name for one in steps[-1]] == ["503", "503"]
    assert all(one != other for one, other in pairwise(steps))


def test_what_can_be_survived_goes_by_the_waits() -> None:
    assert is_survivable((fault(LIST, 1, "slow"), fault(LIST, 2, "slow")), 17.0)
    assert not is_survivable((fault(LIST, 1, "slow"), fault(LIST, 2, "slow")), 16.0)
    assert not is_survivable((fault(LIST, 1, "hang"),), 1e9)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "unknown"])
def test_every_fault_at_every_operation_is_a_sound_rule(operation: str) -> None:
    faults = faults_at(Site(operation=operation, nth=1))

    for one in faults:
        load_mapping(scenario_of((one,), name="found-1", seed=1, keeps=0))

    assert faults


def test_what_was_found_is_a_scenario_with_its_story_and_the_later_call_first() -> None:
    schedule = schedule_of(fault(CREATE, 1, "503"), fault(CREATE, 2, "reset", "after_commit"))
    trial = Trial(schedule=schedule, sites={}, symptoms=("x",), calls=("a → 1",) * 20)
    found = Found(trial=trial, symptom="x", began_with=schedule, held=3)

    text = found_text(found, seed=4, keeps=2)

    story = [line for line in text.splitlines() if line.startswith("# ")]
    scenario = load_mapping(yaml.safe_load(text))
    assert len(story) == 3
    assert "… a → 1 (20 calls)" in story[1]
    assert (scenario.name, scenario.seed, scenario.client.keeps) == ("found-4", 4, 2)
    assert [rule.schedule.nth for rule in scenario.rules] == [(2,), (1,)]


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd")]
)
def test_numbers_of_calls_are_said_in_words(number: int, text: str) -> None:
    assert ordinal(number) == text
