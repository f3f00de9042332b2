"""How the journal stays within its size."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vifsim.clock import SimClock
from vifsim.conformance import a_call
from vifsim.journal import Journal

if TYPE_CHECKING:
    import pytest

    from tests.conftest import Api, ApiOf, MakeCloud
    from vifsim.simulator import Simulator


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


def test_an_entry_that_is_corrected_ends_once_for_who_listens() -> None:
    journal, call, ends = Journal(SimClock(mode="manual")), a_call(), list[str | None]()
    journal.open(call)
    journal.listeners.append(lambda entry: ends.append(entry.outcome.ending))

    journal.close(call, None, "completed")
    journal.close(call, None, "client_gone")

    assert ends == ["completed"]
    assert call.outcome.ending == "client_gone"


async def test_large_headers_and_paths_count_as_what_they_take(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(journal_bytes=250_000)
    api = api_of(cloud)
    headers = {f"X-{number}": "a" * 8000 for number in range(7)}

    for number in range(8):
        await api.get(f"/servers/{number}{'b' * 4000}", headers=headers)

    assert len(cloud.journal) == 3
    assert cloud.journal.dropped == 5


async def test_headers_that_no_client_needs_are_not_kept(cloud: Simulator, api: Api) -> None:
    await api.get("/servers", headers={f"X-{number}": "a" * 8000 for number in range(9)})

    (entry,) = cloud.journal
    assert (entry.operation, dict(entry.headers)) == ("list_servers", {})
