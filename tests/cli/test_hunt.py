"""`vifsim hunt`: what it writes, what it says, and the exit codes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vifsim.cli import main
from vifsim.scenario.schema import load_file

if TYPE_CHECKING:
    from collections.abc import Callable

    Hunt = Callable[..., int]

CLIENTS = Path(__file__).parents[1] / "scorecard" / "population" / "clients"


@pytest.fixture
def hunt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hunt:
    """Run `vifsim hunt` on a command, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*command: str, options: tuple[str, ...] = ()) -> int:
        return main(["hunt", *options, "--", *command])

    return run


def test_a_client_that_posts_again_blindly_is_found_with_a_scenario_that_shows_it(
    hunt: Hunt, capsys: pytest.CaptureFixture[str]
) -> None:
    reposter = (sys.executable, str(CLIENTS / "reposter.py"))

    code = hunt(*reposter, options=("--seed", "7"))

    assert code == 1
    (rule,) = load_file("found-7.yaml").rules
    assert rule.at == "after_commit"
    said = capsys.readouterr().out
    assert "The 1st create_virtual_interface takes effect, but is answered 503." in said
    assert f"again: vifsim chaos --scenario found-7.yaml -- {sys.executable}" in said
    assert main(["chaos", "--scenario", "found-7.yaml", "--", *reposter]) == 1


def test_where_nothing_is_found_nothing_is_written(
    hunt: Hunt, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    careful = (sys.executable, str(CLIENTS / "careful.py"))

    code = hunt(*careful, options=("--runs", "1"))

    assert code == 0
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == "Nothing found in 2 runs.\n"


def test_a_client_that_never_calls_the_cloud_is_told(
    hunt: Hunt, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hunt(sys.executable, "-c", "") == 3

    assert "never called the cloud" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (("--runs", "0"), "--runs 0: at least 1"),
        (("--jobs", "0"), "--jobs 0: at least 1"),
        (("--seed", "-1"), "--seed -1: 0 or more"),
        (("--budget", "soon"), "--budget soon is not a duration such as 120s"),
        (("--time-limit", "0s"), "--time-limit 0s: more than nothing"),
    ],
)
def test_a_wrong_flag_is_named_before_anything_runs(
    hunt: Hunt, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], wrong: str
) -> None:
    assert hunt("true", options=options) == 2

    assert wrong in capsys.readouterr().err


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hunt"]) == 2

    assert "which command? vifsim hunt -- COMMAND" in capsys.readouterr().err
