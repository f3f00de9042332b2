"""The scorecard for a terminal, a pull request and CI."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

import pytest

from vifsim.scorecard.text import junit, markdown, terminal

if TYPE_CHECKING:
    from tests.scorecard.conftest import Tape

ATTACH = "create_virtual_interface"
NASTY = "a|b<i>`x`\x1b[31m\x00&*_@all#1"


@pytest.fixture
def failing(tape: Tape) -> Tape:
    tape.obeys(expect={"max_requests": 1})
    tape.call(ATTACH, 503, retry_after=2.0, by=NASTY)
    tape.call(ATTACH, after=0.5, made="i1")
    return tape


def test_a_terminal_shows_failures_first_with_evidence_and_advice(failing: Tape) -> None:
    lines = terminal(failing.document()).splitlines()

    verdicts = [line.split()[0] for line in lines if line[5:8].strip().startswith("R")]
    assert verdicts == sorted(verdicts, key=["FAIL", "pass", "-"].index)
    assert any("told 2; waited 0.5" in line for line in lines)
    assert any("advice: " in line for line in lines)
    assert any("expected max_requests: 1, found 2" in line for line in lines)
    assert max(map(len, lines)) <= 100


def test_a_terminal_is_never_sent_what_it_would_obey(failing: Tape) -> None:
    assert "\x1b" not in terminal(failing.document())


def test_markdown_keeps_foreign_text_in_its_place(failing: Tape) -> None:
    text = markdown(failing.document())

    assert "<i>" not in text
    assert "\\|b" in text
    assert "\\@all" in text
    assert all(line.count("|") == 5 for line in text.splitlines() if line.startswith("| :"))
    assert len(text) < 65_536


def test_junit_counts_what_failed_and_what_was_skipped(failing: Tape) -> None:
    document = failing.document()

    root = Xml.fromstring(junit(document, [("run 1", document)]))  # noqa: S314 -- our own text

    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["scorecard", "run 1"]
    for suite in suites:
        cases = suite.findall("testcase")
        assert suite.get("tests") == str(len(cases)) == "25"
        assert suite.get("failures") == str(len(suite.findall("*/failure")))
        assert suite.get("skipped") == str(len(suite.findall("*/skipped")))


def test_an_empty_scorecard_says_so(tape: Tape) -> None:
    assert "nothing was exercised" in terminal(tape.document())
    assert "nothing was exercised" in markdown(tape.document())
