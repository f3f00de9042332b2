"""What the pages show works as it stands there, in its order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vifsim.scenario.schema import load_text

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Return a page's blocks: language, file name or "", and text."""
    return FENCE.findall((DOCS / page).read_text("utf-8"))


class Terminal:
    """Runs what a page shows, in a folder of its own; what serves goes on in the background."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        kept = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        self.environment = {**kept, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def serve(self, command: str) -> None:
        """Start a cloud on a free port and wait until it is ready."""
        process = self.stack.enter_context(
            subprocess.Popen(
                ["bash", "-c", f"exec {command.strip()} --port 0"],
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        self.stack.callback(process.terminate)
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("vifsim ready at ")
        self.environment["VIFSIM_URL"] = ready.split()[-1]

    def run(self, script: str) -> None:
        """Run a block; it must succeed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal in an empty folder."""
    with ExitStack() as stack:
        yield Terminal(tmp_path, stack)


def follow(page: str, terminal: Terminal) -> None:
    """Do what a page says."""
    for language, name, text in blocks(page):
        if name:
            (terminal.folder / name).write_text(text, "utf-8")
        elif language == "bash" and text.startswith("vifsim serve"):
            terminal.serve(text)
        elif language == "bash":
            terminal.run(text)


@needs_curl
@pytest.mark.parametrize("page", ["tutorial.md", "demo-environment.md"])
def test_who_follows_a_page_gets_what_it_says(page: str, terminal: Terminal) -> None:
    follow(page, terminal)


@needs_curl
def test_the_examples_of_the_control_api_do_what_the_text_says(terminal: Terminal) -> None:
    terminal.serve("vifsim serve")

    follow("control-api.md", terminal)


@pytest.mark.parametrize("page", ["demo-environment.md"])
def test_the_scenarios_of_a_page_load(page: str) -> None:
    texts = [text for language, _, text in blocks(page) if language == "yaml"]

    assert texts
    for text in texts:
        load_text(text, source=page)


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: the extra docs has it")

    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tutorial.html").exists()


def test_the_site_asks_no_other_host(tmp_path: Path) -> None:
    assert "highlightjs: false" in (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in DOCS.rglob("*.md"):
        assert not re.search(r"!\[[^]]*\]\(https?:", page.read_text("utf-8")), page
