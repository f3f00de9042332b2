"""Writes the pages that are made from the code: `python docs/generate.py`.

A test compares them with what stands here.
"""

from __future__ import annotations

from pathlib import Path

from vifsim.cli.drawing import drawn
from vifsim.scenario.plan import plan
from vifsim.scenario.schema import load_named, load_world, shipped_names

DOCS = Path(__file__).parent


def scenario_page(name: str) -> str:
    """Return the page of a shipped scenario: what it says, and what that comes to."""
    scenario = load_named(name)
    made = plan(scenario, load_world(scenario.world, scenario.seed or 0))
    picture = "\n".join(line.plain.rstrip() for line in list(drawn(made))[2:])
    return (
        f"# {name}\n\n{scenario.description}\n\n```yaml\n{scenario.text.strip()}\n```\n\n"
        f"`vifsim scenarios plan {name}` draws:\n\n```text\n{picture}\n```\n"
    )


def pages() -> dict[Path, str]:
    """Return every generated page, by its path."""
    found = {DOCS / "scenarios" / f"{name}.md": scenario_page(name) for name in shipped_names()}
    index = "".join(
        f"- [{name}]({name}.md): {load_named(name).description}\n" for name in shipped_names()
    )
    found[DOCS / "scenarios" / "README.md"] = (
        "# The scenarios that ship\n\nChoose one by its name, `--scenario brownout`. The format is "
        f"in [scenarios.md](../scenarios.md).\n\n{index}"
    )
    return found


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
