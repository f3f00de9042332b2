"""What the page on time shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PAGE = Path(__file__).parents[2] / "docs" / "time.md"


def test_the_example_of_time_that_jumps_passes(pytester: pytest.Pytester) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    pytester.makepyfile(example)

    result = pytester.runpytest_inprocess("-o", "asyncio_default_fixture_loop_scope=function")

    result.assert_outcomes(passed=1)
