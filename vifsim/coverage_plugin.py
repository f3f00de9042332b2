"""What pytest does for `--vifsim-cov`: counts in every process, reports in one.

The house rule: it only exists where the flag is given; nothing is counted otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vifsim.coverage import ErrorCoverage
from vifsim.journal import EVERYWHERE

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

_KEY = "vifsim_cov"
_ALL = 100.0


class CoveragePlugin:
    """Counts what clients meet, from its registration to the end of the session.

    Args:
        least: percent below which the session fails, None for never.

    Raises:
        pytest.UsageError: `least` is no percentage.
    """

    def __init__(self, least: float | None) -> None:
        if least is not None and not 0 <= least <= _ALL:
            raise pytest.UsageError(f"--vifsim-cov-fail-under {least:g}: 0 to 100")
        self._least = least
        self._coverage = ErrorCoverage()
        EVERYWHERE.append(self._coverage.note)

    def pytest_unconfigure(self) -> None:
        """Listen no more."""
        EVERYWHERE.remove(self._coverage.note)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take in what one of pytest-xdist's processes has seen."""
        self._coverage.merge(getattr(node, "workeroutput", {}).get(_KEY, ()))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand what was seen to pytest-xdist's first process, or fail where it is too little."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_KEY] = sorted(self._coverage.seen)
        elif self._is_under and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @property
    def _is_under(self) -> bool:
        return self._least is not None and self._coverage.percent() < self._least

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Write the report."""
        terminalreporter.section("documented errors that clients met")
        for line in self._coverage.lines():
            terminalreporter.line(line)
        if self._is_under:
            percent = self._coverage.percent()
            terminalreporter.line(f"FAIL less than {self._least:g} %: {percent:.1f} %", red=True)
