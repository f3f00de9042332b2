"""The compose files say what can be run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from vifsim.cli import parser_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["compose.yaml", "docs/compose.shared.yaml"])
def test_a_compose_file_gives_serve_what_it_takes(name: str) -> None:
    document: dict[str, Any] = yaml.safe_load((ROOT / name).read_text("utf-8"))

    service = document["services"]["vifsim"]
    options = parser_of("serve").parse_args(service.get("command", []))

    mounted = [
        volume.partition(":")[0]
        for one in document["services"].values()
        for volume in one.get("volumes", ())
    ]
    assert mounted == list(document["volumes"])
    assert service["environment"].keys() >= {"VIFSIM_CONTROL_TOKEN"}
    assert options.workers >= 1


def test_the_shared_compose_file_lets_workers_share_its_database() -> None:
    document = yaml.safe_load((ROOT / "docs/compose.shared.yaml").read_text("utf-8"))

    options = parser_of("serve").parse_args(document["services"]["vifsim"]["command"])

    database = document["services"]["database"]
    user, name = database["environment"]["POSTGRES_USER"], database["environment"]["POSTGRES_DB"]
    assert options.backend == f"postgresql://{user}@database/{name}"
    assert options.workers > 1
    assert document["services"]["vifsim"]["depends_on"] == {
        "database": {"condition": "service_healthy"}
    }
