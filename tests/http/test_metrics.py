"""Numbers for Prometheus."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    import pytest

    from tests.conftest import Api, ApiOf, MakeCloud
    from vifsim.simulator import Simulator


async def samples(api: Api) -> dict[str, float]:
    """Return each sample by its name and labels, as the text shows them."""
    told = await api.get("/_vifsim/metrics")
    assert told.status == 200
    assert told.headers["Content-Type"].startswith("text/plain")
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(told.body.decode())
        for sample in family.samples
    }


async def test_calls_faults_and_effects_are_counted(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    cloud = await make_cloud(scenario="flaky-create", clock="manual", self_stepping=True)
    api = api_of(cloud)
    await api.attach()
    before = await samples(api)

    for _ in range(2):
        await api.attach()

    found = await samples(api)
    refused = (
        "[('operation', 'create_virtual_interface'), ('outcome', 'completed'), ('status', '503')]"
    )
    assert before[f"vifsim_calls_total{refused}"] == 1
    assert found[f"vifsim_calls_total{refused}"] == 2
    made = "[('kind', 'created'), ('object', 'virtual_interface')]"
    assert found[f"vifsim_effects_total{made}"] == 1
    assert sum(value for name, value in found.items() if "vifsim_faults_total" in name) == 2


async def test_latency_counts_on_the_clock_and_not_as_the_backends(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(clock="manual", self_stepping=True)
    await cloud.add_rule({"match": "list_networks", "latency": "20s"})
    api = api_of(cloud)

    await api.get("/os-networksv2")

    found = await samples(api)
    label = "[('operation', 'list_networks')]"
    assert found[f"vifsim_call_seconds_sum{label}"] >= 20
    assert found[f"vifsim_backend_seconds_sum{label}"] < 1
    assert found["vifsim_clock_seconds[]"] >= 20


async def test_a_fast_clock_does_not_hide_what_the_backend_took(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(clock="scaled", speed=1000.0)
    await cloud.add_rule({"match": "list_networks", "latency": "20s"})
    api = api_of(cloud)

    await api.get("/os-networksv2")

    found = await samples(api)
    label = "[('operation', 'list_networks')]"
    assert found[f"vifsim_call_seconds_sum{label}"] >= 20
    assert 0 < found[f"vifsim_backend_seconds_sum{label}"] < 20


async def test_without_the_extra_the_cure_is_named(
    cloud: Simulator, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    told = await api.get("/_vifsim/metrics")

    assert told.status == 501
    assert told.json()["detail"].endswith("pip install 'vifsim[metrics]'")
