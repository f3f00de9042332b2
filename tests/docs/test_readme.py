"""What the README shows works as it stands there."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vifsim.scenario.schema import load_text

if TYPE_CHECKING:
    from tests.conftest import MakeCloud, RunPytest

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    """Return the README's code blocks of one language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def test_the_example_of_a_test_passes(run_pytest: RunPytest, tmp_path: Path) -> None:
    (example,) = blocks("python")
    (tmp_path / "test_example.py").write_text(example)

    run = run_pytest("test_example.py")

    assert run.exit_code == 0, run.output
    assert run.number("passed") == 1


def test_the_example_of_a_scenario_loads() -> None:
    (example,) = blocks("yaml")

    scenario = load_text(example, source="README.md")

    assert [rule.id for rule in scenario.rules] == ["busy", "the-answer-is-lost", "three-a-minute"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_examples_with_curl_do_what_the_text_says(make_cloud: MakeCloud) -> None:
    cloud = await make_cloud(scenario="lost-create")
    attach, look = [
        block.replace("http://127.0.0.1:8774", cloud.url)
        for block in blocks("sh")
        if block.startswith("curl")
    ]

    lost, again = [await curl(attach) for _ in range(2)]
    journal, scorecard = [await curl(line) for line in look.splitlines()]

    assert lost.returncode == 56
    assert '"code": 409' in again.stdout
    assert '"create_virtual_interface"' in journal.stdout
    assert '"no_blind_recreate"' in scorecard.stdout


async def curl(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line that calls curl; the cloud answers on this loop meanwhile."""
    command = [*shlex.split(line.replace("\\\n", " ")), "--silent"]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False
    )


def test_every_link_into_the_repository_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", README.read_text())

    missing = [link for link in links if not (README.parent / link).exists()]

    assert missing == []
