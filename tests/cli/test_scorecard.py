"""`vifsim scorecard FILE`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.cli import main
from vifsim.recording import Recording
from vifsim.scorecard import score

if TYPE_CHECKING:
    from pathlib import Path

HEADER = {
    "vifsim_journal": 1,
    "seed": 7,
    "scenario": {"name": "rate-limited", "digest": "", "text": ""},
    "clock": "real",
    "speed": 1.0,
    "dropped": 0,
}


def entry(seq: int, arrived: float, status: int, retry_after: float | None) -> dict[str, Any]:
    return {
        "seq": seq,
        "operation": "list_servers",
        "method": "GET",
        "path": "/v2/123456/servers",
        "headers": {},
        "conn": 1,
        "tenant": "123456",
        "token_id": "t",
        "server": None,
        "network": None,
        "interface": None,
        "body_digest": None,
        "arrived": arrived,
        "end": arrived + 0.001,
        "real": {"arrived": arrived, "end": arrived + 0.001},
        "decision": None,
        "effects": [],
        "committed": False,
        "told": {"status": status, "retry_after": retry_after, "spoiled": False, "bytes": 2},
        "outcome": "completed",
    }


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A client that was told to wait two seconds and waited half of one."""
    lines = [HEADER, entry(1, 0.0, 503, 2.0), entry(2, 0.5, 200, None)]
    path = tmp_path / "journal.ndjson"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def test_the_verdicts_are_printed_and_make_the_exit_code(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["scorecard", str(journal)])

    shown = capsys.readouterr().out
    assert code == 1
    assert "FAIL  R01 retry_after_honoured" in shown
    assert "rate-limited, seed 7" in shown


@pytest.mark.parametrize(("fail_on", "code"), [("critical", 0), ("major", 1), ("minor", 1)])
def test_only_failures_as_grave_as_asked_for_count(journal: Path, fail_on: str, code: int) -> None:
    assert main(["scorecard", str(journal), "--fail-on", fail_on]) == code


def test_the_document_is_printed_on_request(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["scorecard", str(journal), "--json"])

    document = json.loads(capsys.readouterr().out)
    assert document["rules"]["retry_after_honoured"]["verdict"] == "fail"


def test_a_journal_without_calls_never_reached_the_server(tmp_path: Path) -> None:
    path = tmp_path / "journal.ndjson"
    path.write_text(json.dumps(HEADER) + "\n", "utf-8")

    assert main(["scorecard", str(path)]) == 3


def test_a_broken_journal_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "journal.ndjson"
    path.write_text("no journal\n", "utf-8")

    code = main(["scorecard", str(path)])

    assert code == 2
    assert capsys.readouterr().err == f"{path}:1:1: not JSON: one object a line\n"


@pytest.mark.parametrize("form", ["json", "markdown", "junit", "html"])
def test_reports_are_written_beside(journal: Path, form: str) -> None:
    path = journal.with_suffix(".report")

    main(["scorecard", str(journal), "--report", f"{form}={path}"])

    assert "retry_after_honoured" in path.read_text("utf-8")


@pytest.mark.parametrize("report", ["pdf=x", "json", "json="])
def test_a_report_in_no_known_form_is_refused(journal: Path, report: str) -> None:
    assert main(["scorecard", str(journal), "--report", report]) == 2


def test_a_report_that_cannot_be_written_is_refused(journal: Path) -> None:
    assert main(["scorecard", str(journal), "--report", f"json={journal}/x"]) == 2


def test_what_is_read_is_what_is_judged(journal: Path) -> None:
    assert score(Recording.read(journal).run)["scenario"] == "rate-limited"
