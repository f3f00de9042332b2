"""Exports of a journal are read as strictly as they are written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from vifsim.errors import JournalError
from vifsim.journal import read_export
from vifsim.recording import Recording
from vifsim.scorecard import score

if TYPE_CHECKING:
    from pathlib import Path

    from vifsim.facade import Cloud

HEADER = {
    "vifsim_journal": 1,
    "seed": 7,
    "scenario": {"name": "none", "digest": "", "text": ""},
    "clock": "real",
    "speed": 1.0,
    "started": "2026-11-24T10:00:00Z",
    "dropped": 0,
}
CLIENT = {"client": {"command": ["x"], "exit_code": 1, "ended": "by_itself", "at": 3.0}}


def entry(**changed: Any) -> dict[str, Any]:
    return {
        "seq": 1,
        "operation": "list_servers",
        "method": "GET",
        "path": "/v2/123456/servers",
        "headers": {},
        "conn": 1,
        "tenant": "123456",
        "token_id": None,
        "server": None,
        "network": None,
        "interface": None,
        "body_digest": None,
        "arrived": 0.1,
        "end": 0.2,
        "real": {"arrived": 0.1, "end": 0.2},
        "decision": None,
        "effects": [],
        "committed": False,
        "told": {"status": 200, "retry_after": None, "spoiled": False, "bytes": 2},
        "outcome": "completed",
        **changed,
    }


def written(path: Path, *lines: Any) -> Path:
    file = path / "journal.ndjson"
    text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
    file.write_text(text, "utf-8")
    return file


def test_what_was_exported_is_read_back(vifsim: Cloud, tmp_path: Path) -> None:
    urlopen(vifsim.url).read()  # noqa: S310 -- the simulator's own address
    path = tmp_path / "journal.ndjson"
    vifsim.journal.export(path)

    header, entries, client = read_export(path)

    assert header["seed"] == vifsim.simulator.seed
    assert [item["operation"] for item in entries] == ["list_versions"]
    assert client is None
    assert score(Recording.of(header, entries, client).run) == vifsim.simulator.scorecard_document()


def test_the_clients_record_comes_last(tmp_path: Path) -> None:
    _, entries, client = read_export(written(tmp_path, HEADER, entry(), CLIENT))

    assert len(entries) == 1
    assert client == CLIENT["client"]


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ((), "it is empty"),
        (({"seed": 7},), ":1:1: not a journal's header"),
        (({**HEADER, "clock": "sundial"},), ":1:1: the header needs"),
        ((HEADER, "{"), ":2:1: not JSON"),
        ((HEADER, "[]"), ":2:1: not an object"),
        ((HEADER, {"seq": 1}), ":2:1: the entry has no operation"),
        ((HEADER, entry(seq="1")), ":2:1: the entry has a wrong seq"),
        ((HEADER, entry(), entry()), ":3:1: the entry has seq 1 after 1"),
        ((HEADER, entry(told={"retry_after": 1})), ":2:1: the entry has no status in told"),
        ((HEADER, entry(outcome=None)), ":2:1: the entry has an end without an outcome"),
        ((HEADER, entry(decision={})), ":2:1: the entry has no by"),
        ((HEADER, entry(real={})), ":2:1: the entry has no arrived and end in real"),
        ((HEADER, entry(effects=[{}])), ":2:1: the entry has an effect without"),
        ((HEADER, CLIENT, entry()), ":3:1: nothing may follow"),
        ((HEADER, {"client": {"ended": "gladly"}}), ":2:1: the client's line needs"),
    ],
)
def test_a_broken_file_is_told_with_its_line(
    tmp_path: Path, lines: tuple[Any, ...], text: str
) -> None:
    with pytest.raises(JournalError) as caught:
        read_export(written(tmp_path, *lines))

    assert text in str(caught.value)


def test_a_file_that_is_cut_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, entry())
    path.write_text(path.read_text("utf-8")[:-20], "utf-8")

    with pytest.raises(JournalError, match="seems to be cut"):
        read_export(path)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file"):
        read_export(tmp_path / "gone")


def test_bytes_that_are_no_text_are_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.ndjson"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(JournalError, match="not UTF-8"):
        read_export(path)


def test_a_header_with_a_broken_scenario_is_no_run(tmp_path: Path) -> None:
    header = {**HEADER, "scenario": {"name": "x", "digest": "", "text": "version: 9"}}

    with pytest.raises(JournalError, match="not sound"):
        Recording.read(written(tmp_path, header, entry()))
