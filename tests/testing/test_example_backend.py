"""The example of the page on writing a backend: judged, compared, and found by its URL."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from vifsim import Simulator, backend
from vifsim.conformance import BackendConformance
from vifsim.testing import diff

if TYPE_CHECKING:
    import pytest

    from vifsim.backend import Backend
    from vifsim.clock import Clock

EXAMPLE = Path(__file__).parent / "example"
PAGE = Path(__file__).parents[2] / "docs" / "writing-a-backend.md"


def example() -> Any:
    """Return the module of the example, as if it were installed."""
    if str(EXAMPLE) not in sys.path:
        sys.path.append(str(EXAMPLE))
    return import_module("vifsim_jsonfile")


class TestJsonFileBackend(BackendConformance):
    def make_backend(self, tmp_path: Path, clock: Clock) -> Backend:
        made: Backend = example().JsonFileBackend(f"jsonfile:///{tmp_path}/demo.json", clock=clock)
        return made


def test_it_answers_as_memory_does(tmp_path: Path) -> None:
    numbers = count(1)

    def make(clock: Clock) -> Any:
        url = f"jsonfile:///{tmp_path}/{next(numbers)}.json"
        return example().JsonFileBackend(url, clock=clock)

    diff(make, "memory:", calls=150, seed=5)


def test_an_installed_backend_is_found_by_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "vifsim_jsonfile-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: vifsim-jsonfile\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text(
        "[vifsim.backends]\njsonfile = vifsim_jsonfile:JsonFileBackend\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(EXAMPLE), *sys.path])

    with Simulator(backend=f"jsonfile:///{tmp_path}/cloud.json") as vifsim:
        answer = httpx.get(f"{vifsim.url}/os-networksv2", headers={"X-Auth-Token": vifsim.token})

    assert answer.status_code == 200
    assert "jsonfile" in backend.installed()
    assert (tmp_path / "cloud.json").exists()


def test_it_is_less_than_200_lines_of_code() -> None:
    lines = (EXAMPLE / "vifsim_jsonfile.py").read_text().splitlines()

    code = [line for line in lines if line.strip() and not line.strip().startswith(('"""', "#"))]
    assert len(code) < 200


def test_the_page_shows_the_example_as_it_is() -> None:
    shown = re.findall(
        r"^```python\n(class Json.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )

    example_lines = {
        bare(line) for line in (EXAMPLE / "vifsim_jsonfile.py").read_text().split("\n")
    }
    assert len(shown) == 2
    assert [line for line in "\n".join(shown).split("\n") if line not in example_lines] == []


def bare(line: str) -> str:
    """Return a line without its annotations, which the page leaves out."""
    return re.sub(r": Any|: str| -> [^:]+(?=:$)", "", line)
