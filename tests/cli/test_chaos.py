"""`vifsim chaos`: clients of known behaviour, the verdict, the reports and the exit codes."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as Xml

import pytest

from vifsim.chaos.runs import MATRIX
from vifsim.cli import main
from vifsim.scenario.schema import shipped_names

if TYPE_CHECKING:
    from collections.abc import Callable

    Chaos = Callable[..., int]

CLIENTS = Path(__file__).parents[1] / "scorecard" / "population" / "clients"


@pytest.fixture
def chaos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chaos:
    """Run `vifsim chaos` on a client of known behaviour, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(client: str, *options: str) -> int:
        return main(["chaos", *options, "--", sys.executable, str(CLIENTS / f"{client}.py")])

    return run


def report(path: str = "report.json") -> Any:
    return json.loads(Path(path).read_text())


def test_a_careful_client_passes(chaos: Chaos) -> None:
    assert chaos("careful", "--scenario", "lost-create", "--report", "json=report.json") == 0

    found = report()
    assert found["scenario"] == "lost-create"
    assert found["rules"]["no_blind_recreate"]["verdict"] == "pass"
    assert found["runs"][0]["leaks"] == []
    assert found["runs"][0]["client"]["ended"] == "by_itself"


def test_a_client_that_posts_again_blindly_fails_with_evidence(
    chaos: Chaos, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chaos("reposter", "--scenario", "lost-create", "--report", "json=report.json") == 1

    (run,) = report()["runs"]
    assert run["scorecard"]["rules"]["no_blind_recreate"]["verdict"] == "fail"
    assert [set(leak) for leak in run["leaks"]] == [{"id", "server", "network", "entry"}]
    shown = capsys.readouterr().out
    assert "FAIL  R08 no_blind_recreate (critical)" in shown
    assert f"again: {run['reproduce']}" in shown


def test_several_scenarios_are_one_verdict_with_a_run_each(chaos: Chaos) -> None:
    scenarios = ["--scenario", "lost-create", "--scenario", "flaky-create"]

    code = chaos("reposter", *scenarios, "--repeat", "2", "--jobs", "2", "--report", "json=r.json")

    found = report("r.json")
    assert code == 1
    assert found["scenario"] is None
    assert [(run["scenario"], run["repeat"]) for run in found["runs"]] == [
        ("lost-create", 1),
        ("lost-create", 2),
        ("flaky-create", 1),
        ("flaky-create", 2),
    ]


def test_a_report_says_what_would_exercise_the_rules_that_were_not(chaos: Chaos) -> None:
    chaos("reposter", "--scenario", "lost-create", "--report", "json=report.json")

    rules = report()["rules"]

    assert rules["no_stampede"]["reason"].endswith("(try --scenario thundering-herd --clients 20)")
    assert rules["pagination_followed"]["reason"].endswith("(try --scenario paged)")


def test_clients_that_run_at_once_are_told_apart(chaos: Chaos, tmp_path: Path) -> None:
    client = tmp_path / "who.py"
    client.write_text(
        "import os, urllib.request as u\n"
        "path = '/v2/' + os.environ['VIFSIM_TENANT'] + '/servers'\n"
        "headers = {'X-Auth-Token': os.environ['VIFSIM_TOKEN']}\n"
        "u.urlopen(u.Request(os.environ['VIFSIM_URL'] + path, headers=headers)).read()\n"
        "print(os.environ['VIFSIM_CLIENT'], os.environ['OS_USERNAME'])\n"
    )

    options = ["--scenario", "lost-create", "--clients", "3", "--report", "json=report.json"]
    main(["chaos", *options, "--", sys.executable, str(client)])

    assert report()["runs"][0]["client"]["exit_code"] == 0
    assert report()["runs"][0]["client"]["output_tail"].split()[1].startswith("client-")


def test_every_form_of_report_is_written(chaos: Chaos) -> None:
    forms = ["json=r.json", "junit=r.xml", "md=r.md", "html=r.html"]

    chaos(
        "reposter", "--scenario", "lost-create", *[x for form in forms for x in ("--report", form)]
    )

    suites = Xml.parse("r.xml").getroot()  # noqa: S314 -- our own report
    assert len(list(suites.iter("failure"))) > 0
    assert "no_blind_recreate" in Path("r.md").read_text()
    assert Path("r.html").read_text().startswith("<!doctype html>")


def test_a_client_that_never_calls_the_cloud_is_3(
    chaos: Chaos, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["chaos", "--scenario", "lost-create", "--", sys.executable, "-c", "pass"])

    assert code == 3
    assert "never called the cloud" in capsys.readouterr().out


def test_one_get_on_a_calm_cloud_exercises_nothing_and_is_4(tmp_path: Path) -> None:
    calm = tmp_path / "calm.yaml"
    calm.write_text("version: 1\n")
    client = "import os, urllib.request as u; u.urlopen(os.environ['VIFSIM_URL'] + '/').read()"

    assert main(["chaos", "--scenario", str(calm), "--", sys.executable, "-c", client]) == 4


def test_a_hanging_client_is_ended_and_that_is_written_down(
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = "import threading; threading.Event().wait()"

    options = ["--scenario", "lost-create", "--time-limit", "500ms"]
    main(["chaos", *options, "--", sys.executable, "-c", client])

    assert "it was ended at the time limit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("", "which command? vifsim chaos -- COMMAND"),
        ("--scenario nope -- true", "there is no scenario nope"),
        ("--fail-on often -- true", "argument --fail-on: invalid choice: 'often'"),
        ("--time-limit soon -- true", "--time-limit soon is not a duration such as 120s"),
        ("--repeat 0 -- true", "--repeat 0: at least 1"),
        ("--report pdf=x -- true", "--report pdf=x is none of json=FILE"),
        ("--report json=none/x -- true", "cannot write none/x: there is no folder none"),
        ("--nope -- true", "unrecognized arguments: --nope"),
        ("-- no-such-program", "cannot start no-such-program: there is no such program"),
    ],
)
def test_a_mistake_is_told_before_anything_is_run(
    options: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["chaos", *options.split()])

    output, errors = capsys.readouterr()
    assert (code, output) == (2, "")
    assert line in errors


def test_the_standard_matrix_is_made_of_shipped_scenarios() -> None:
    assert set(MATRIX) <= set(shipped_names())


@pytest.mark.parametrize(
    ("program", "named"),
    [
        ("raise SystemExit(7)", "never called the cloud, and ended with exit code 7"),
        ("print('x' * 3_000_000)", "it wrote 3 MB; the end of that is kept"),
        (
            "import signal, threading; signal.signal(15, signal.SIG_IGN); threading.Event().wait()",
            "it ignored SIGTERM and was killed",
        ),
    ],
    ids=["ends at once", "floods its output", "ignores SIGTERM"],
)
def test_a_command_that_is_no_client_is_named_for_what_it_is(
    capsys: pytest.CaptureFixture[str], program: str, named: str
) -> None:
    options = ["--scenario", "lost-create", "--time-limit", "1s"]

    code = main(["chaos", *options, "--", sys.executable, "-c", program])

    assert code == 3
    told = capsys.readouterr().out
    assert "expected rules" not in told
    assert "not exercised: try" not in told
    assert f"note  lost-create: {named}" in told.replace("the client ", "")


def test_each_report_for_people_says_how_to_see_a_finding_again(chaos: Chaos) -> None:
    reports = ("--report", "html=report.html", "--report", "md=report.md")

    chaos("reposter", "--scenario", "lost-create", *reports)

    assert re.search(r"- again: `vifsim chaos [^`]+reposter\.py`\n", Path("report.md").read_text())
    for name in ("report.html", "report.md"):
        assert "again: " in Path(name).read_text()
        assert "vifsim chaos --scenario lost-create -- " in Path(name).read_text().replace(
            "<code>", ""
        )
