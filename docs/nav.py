"""The order of the pages: learn, do, look up, understand; a hook of MkDocs.

A page that is in no list stops a strict build.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent

ORDER: dict[str, tuple[str, ...]] = {
    "Learn": ("tutorial.md",),
    "Do": (
        "recipes.md",
        "chaos.md",
        "console.md",
        "demo-environment.md",
        "writing-a-backend.md",
    ),
    "Look up": (
        "api.md",
        "control-api.md",
        "cli.md",
        "scenarios.md",
        "scenarios/README.md",
        "scorecard.md",
        "symptoms.md",
        "performance.md",
        "security.md",
    ),
    "Understand": ("architecture.md", "time.md"),
}


def nav() -> list[Any]:
    """Return the table of contents, of the pages that there are."""
    shipped = sorted(path.name for path in (DOCS / "scenarios").glob("*.md"))
    chapters: list[Any] = [
        {title: [name for name in names if (DOCS / name).exists()]}
        for title, names in ORDER.items()
    ]
    each = [f"scenarios/{name}" for name in shipped if name != "README.md"]
    return ["index.md", *chapters, {"Scenarios": each}]


def on_config(config: Any) -> Any:
    """Give MkDocs the table of contents."""
    config["nav"] = nav()
    return config
