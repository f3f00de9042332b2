"""The scorecard as one HTML file."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from vifsim.scorecard.page import page

if TYPE_CHECKING:
    from tests.scorecard.conftest import Tape

ATTACH = "create_virtual_interface"
LIST = "list_virtual_interfaces"
_VOID = frozenset({"meta"})


class Balance(HTMLParser):
    """Checks that tags are closed in order, and collects what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.classes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"src", "href"} or name.startswith("on"):
                self.fetched.append(f"{name}={value}")
            if name == "class":
                self.classes.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(text: str) -> Balance:
    found = Balance()
    found.feed(text)
    found.close()
    assert found.open == []
    return found


def test_one_file_holds_everything(tape: Tape) -> None:
    tape.call(ATTACH, 503, retry_after=2.0, by="limit")
    tape.call(ATTACH, after=0.5, made="i1")

    text = page(tape.document(), [("by-hand", tape.run())])

    assert read(text).fetched == []
    assert "<script" not in text
    assert "url(" not in text
    assert "@media print" in text
    assert "prefers-color-scheme:dark" in text
    assert 'name="viewport"' in text


def test_a_timeline_shows_each_way_in_which_a_call_can_end(tape: Tape) -> None:
    tape.call(ATTACH, 503, retry_after=2.0)
    tape.call(ATTACH, None, outcome="server_cut", made="i1")
    tape.call(LIST, None, outcome="client_gone", took=2.0)
    tape.call(LIST)
    tape.call("get_server", None, took=None)

    found = read(page(tape.document(), [("by-hand", tape.run())]))

    assert {"refused", "cut", "gone", "ok", "open", "told", "wait"} <= set(found.classes)


def test_every_mark_stays_inside_its_track(tape: Tape) -> None:
    tape.call(ATTACH, 503, retry_after=600.0)
    tape.call(ATTACH, after=0.5)

    text = page(tape.document(), [("by-hand", tape.run())])

    for left, width in re.findall(r"left:([\d.]+)%;width:([\d.]+)%", text):
        assert float(left) + float(width) <= 100.01


def test_foreign_text_is_escaped(tape: Tape) -> None:
    tape.call(ATTACH, 503, retry_after=2.0, by="<b onload=x>")
    tape.call(ATTACH, after=0.5)

    text = page(tape.document(), [("</main><script>", tape.run())])

    read(text)
    assert "<b onload" not in text
    assert "<script" not in text


def test_a_run_without_calls_says_so(tape: Tape) -> None:
    assert "No call reached the server" in page(tape.document(), [("by-hand", tape.run())])


def test_long_runs_are_drawn_in_part(tape: Tape) -> None:
    for _ in range(100):
        tape.call(LIST)

    assert "40 further calls are not drawn" in page(tape.document(), [("by-hand", tape.run())])
