"""The file that a hunt writes: the smallest schedule as a scenario, with its story.

The house rule: the file is a scenario that `serve` and `chaos` take as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from vifsim.chaos.faults import scenario_of
from vifsim.scorecard.text import printable

if TYPE_CHECKING:
    from vifsim.chaos.search import Found


def found_text(found: Found, *, seed: int, keeps: int) -> str:
    """Return the text of `found-SEED.yaml`."""
    scenario = scenario_of(found.trial.schedule, name=f"found-{seed}", seed=seed, keeps=keeps)
    story = "".join(f"# {printable(line)}\n" for line in found.story())
    return story + yaml.safe_dump(scenario, sort_keys=False, allow_unicode=True, width=100)
