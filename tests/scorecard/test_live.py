"""The scorecard of a simulator that is running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from vifsim.errors import UsageError

if TYPE_CHECKING:
    from vifsim.facade import Cloud


def attach(vifsim: Cloud) -> requests.Response:
    return requests.post(
        f"{vifsim.url}/v2/{vifsim.tenant_id}/servers/{vifsim.server_id}/os-virtual-interfacesv2",
        json={"virtual_interface": {"network_id": vifsim.network_id}},
        headers={"X-Auth-Token": vifsim.token},
        timeout=10,
    )


def test_the_control_api_and_the_facade_give_one_document(vifsim: Cloud) -> None:
    attach(vifsim)

    told = requests.get(f"{vifsim.url}/_vifsim/scorecard", timeout=10)

    assert told.status_code == 200
    assert told.json() == vifsim.simulator.scorecard_document()
    assert vifsim.scorecard().rules.no_leaked_interface.verdict == "fail"


def test_a_required_rule_that_failed_shows_why(vifsim: Cloud) -> None:
    attach(vifsim)

    with pytest.raises(AssertionError) as caught:
        vifsim.scorecard().require("no_leaked_interface")

    text = str(caught.value)
    assert text.startswith("R10 no_leaked_interface: fail: 1 left")
    assert "evidence: {'entries': [1]" in text
    assert "advice: Delete what was made" in text


def test_a_required_rule_must_have_been_exercised(vifsim: Cloud) -> None:
    with pytest.raises(AssertionError, match="R01 retry_after_honoured: not_exercised"):
        vifsim.scorecard().require("R01")


def test_a_required_rule_that_does_not_exist_is_named(vifsim: Cloud) -> None:
    with pytest.raises(UsageError, match=r"no rule no_leaked_iface \(did you mean"):
        vifsim.scorecard().require("no_leaked_iface")


def test_the_next_connection_of_one_client_is_made_after_the_answer_on_the_last(
    vifsim: Cloud,
) -> None:
    for _ in range(3):
        attach(vifsim)

    moments = [
        moment
        for entry in vifsim.journal
        for moment in (entry.real.connected, entry.real.arrived, entry.real.end)
    ]
    assert moments == sorted(moments)


def test_rules_that_are_gone_again_are_still_known(vifsim: Cloud) -> None:
    with vifsim.rule(match="create_*", limit="1/1m", per="user"):
        attach(vifsim)
        attach(vifsim)
        other = vifsim.servers["web-2"]
        requests.post(
            f"{vifsim.url}/v2/{vifsim.tenant_id}/servers/{other}/os-virtual-interfacesv2",
            json={"virtual_interface": {"network_id": vifsim.network_id}},
            headers={"X-Auth-Token": vifsim.token},
            timeout=10,
        )

    assert vifsim.scorecard().rules.retry_after_honoured.verdict == "fail"
