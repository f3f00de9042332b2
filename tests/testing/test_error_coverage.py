"""`pytest --vifsim-cov`: which documented errors a session's clients have met."""

from __future__ import annotations

import pytest

from vifsim.coverage import ErrorCoverage
from vifsim.http.openapi import documented_statuses

INNER = ("-o", "asyncio_default_fixture_loop_scope=function", "-pno:schemathesis", "-pno:anyio")
CLIENT = """
import contextlib
import urllib.error
import urllib.request
import pytest

def ask(cloud):
    request = urllib.request.Request(cloud.url + "/servers", headers={"X-Auth-Token": cloud.token})
    with contextlib.suppress(OSError):
        urllib.request.urlopen(request).close()

@pytest.mark.parametrize("status", STATUSES)
def test_it(vifsim, status):
    vifsim.rule(match="list_servers", first=1, status=status, body=BODY)
    ask(vifsim)
"""


def written(pytester: pytest.Pytester, statuses: list[int], body: str = "fault") -> None:
    text = CLIENT.replace("STATUSES", str(statuses)).replace("BODY", repr(body))
    pytester.makepyfile(text)


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", "no:randomly", *options, *INNER)


def test_what_was_met_is_reported_with_its_forms_and_what_was_not(
    pytester: pytest.Pytester,
) -> None:
    written(pytester, [503, 502], "html")

    result = run(pytester, "--vifsim-cov")

    assert result.ret == 0
    of = len(documented_statuses()["list_servers"])
    result.stdout.fnmatch_lines(
        [
            "*documented errors that clients met*",
            f"list_servers *2 *{of} *401*500*",
            "*met: 502 html, 503 html",
            f"all *{200 / of:.1f} %",
        ]
    )


def test_too_little_fails_the_session(pytester: pytest.Pytester) -> None:
    written(pytester, [503])

    result = run(pytester, "--vifsim-cov-fail-under=90")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["FAIL less than 90 %: *"])


def test_all_that_is_documented_passes(pytester: pytest.Pytester) -> None:
    injectable = sorted(documented_statuses()["list_servers"] - {406})
    written(pytester, injectable)

    result = run(pytester, "--vifsim-cov-fail-under=90")

    assert result.ret == 0


@pytest.mark.long
def test_processes_of_xdist_count_together(pytester: pytest.Pytester) -> None:
    written(pytester, [502, 503])

    result = run(pytester, "--vifsim-cov", "-n", "2")

    result.stdout.fnmatch_lines(["*met: 502 fault, 503 fault"])


def test_what_another_process_has_seen_is_counted() -> None:
    coverage = ErrorCoverage()

    coverage.merge([["list_servers", 503, "html"], ["list_servers", 0, "no answer"]])

    (row,) = coverage.rows()
    assert (row.met, row.others) == ({503: ["html"]}, ["no answer"])


def test_a_session_without_clients_has_met_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")

    result = run(pytester, "--vifsim-cov-fail-under=1")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["no client called a simulator"])


def test_a_share_that_is_none_is_named(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--vifsim-cov-fail-under=900")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--vifsim-cov-fail-under 900: 0 to 100"])


def test_without_the_flag_nothing_is_said(pytester: pytest.Pytester) -> None:
    written(pytester, [503])

    result = run(pytester)

    result.stdout.no_fnmatch_line("*documented errors*")
