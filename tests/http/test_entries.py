"""Both ways of writing an entry say the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vifsim.errors import ComputeFault
from vifsim.exchange import Answer, Call, Decision, Effect, Outcome, WireReset
from vifsim.http.entries import EntryTexts
from vifsim.journal import entry_document

CALL = Call(
    seq=12,
    id="req-1",
    operation=None,
    method="GET",
    path='/servers/"ü\n\\',
    headers={"User-Agent": 'a "b" é'},
    peer="127.0.0.1:1",
    conn=3,
    arrived=1.23456789,
    real_arrived=1e-7,
)
FULL = replace(
    CALL,
    operation="create_virtual_interface",
    **dict.fromkeys(("user", "tenant", "token_id", "server", "network", "body_digest"), "x"),  # type: ignore[arg-type]  # texts, all of them
)
EFFECTS = (
    Effect(kind="created", object="virtual_interface", id="v", at=2.0),
    Effect(kind="changed", object="server", id="s", at=2.5),
)
OUTCOMES = {
    "arrived": Outcome(),
    "answered": Outcome(
        n=2, effects=EFFECTS, answer=Answer(200, size_bytes=7), end=2.0, real_end=2.0000001,
        ending="completed",
    ),
    "refused": Outcome(
        decision=Decision(fired=("a", "b"), by="b", fault=ComputeFault("no"), delay_before=0.25),
        answer=Answer(503, 2.5, spoiled=True), end=3, real_end=3, ending="client_gone",
    ),
    "cut": Outcome(decision=Decision(wire=WireReset(), at="after_commit"), ending="server_cut"),
}  # fmt: skip


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("call", [CALL, FULL], ids=["bare", "full"])
def test_an_entry_as_text_is_its_document_as_json(call: Call, outcome: str) -> None:
    told = replace(call, outcome=OUTCOMES[outcome])

    assert EntryTexts().text(told) == json.dumps(entry_document(told))


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_brief_entry_is_a_part_of_the_whole(outcome: str) -> None:
    told = replace(FULL, outcome=OUTCOMES[outcome])

    brief = json.loads(EntryTexts().brief(told))

    assert {key: entry_document(told)[key] for key in brief} == brief


def test_headers_are_remembered_by_what_they_are() -> None:
    texts = EntryTexts()

    for number in range(200):
        call = replace(CALL, headers={"N": str(number)})
        assert json.loads(texts.text(call))["headers"] == {"N": str(number)}
