"""The recipe for the `nova` command passes as it stands on its page (docs/recipes.md)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.clients.conftest import Environments

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
RECIPE = re.compile(r'^```python title="nova/(\w+\.py)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def test_the_recipe_for_nova_passes(environments: Environments, tmp_path: Path) -> None:
    nova = environments.get("modern") / "bin"
    ((name, text),) = RECIPE.findall(PAGE.read_text("utf-8"))
    (tmp_path / name).write_text(text, "utf-8")
    kept = {key: value for key, value in os.environ.items() if "PYTEST" not in key}

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", "-pno:schemathesis"],
        cwd=tmp_path,
        env={**kept, "PATH": f"{nova}{os.pathsep}{kept['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 passed" in run.stdout
