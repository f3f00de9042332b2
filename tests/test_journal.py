"""How the journal stays within its size."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vifsim.clock import SimClock
from vifsim.conformance import a_call
from vifsim.journal import Journal

if TYPE_CHECKING:
    import pytest


def test_a_full_journal_drops_its_oldest_entries_counts_them_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = Journal(SimClock(mode="manual"), max_bytes=100_000)

    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            call = a_call()
            journal.next_seq()
            journal.open(call)
            journal.close(call, None, "completed")

    assert len(journal) < 100
    assert journal.dropped == 1000 - len(journal)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
