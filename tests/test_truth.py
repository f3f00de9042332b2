"""What happened stands beside what was told, whatever the client was told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from vifsim import Simulator
from vifsim.clock import SimClock
from vifsim.errors import UsageError

if TYPE_CHECKING:
    from vifsim.facade import Cloud


def create(cloud: Cloud, network: str | None = None) -> int | None:
    """Ask for an interface, and return the status that came, None for no answer."""
    try:
        return requests.post(
            f"{cloud.url}/servers/{cloud.server_id}/os-virtual-interfacesv2",
            json={"virtual_interface": {"network_id": network or cloud.network_id}},
            headers={"X-Auth-Token": cloud.token},
            timeout=10,
        ).status_code
    except requests.RequestException:
        return None


def rules(*written: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.vifsim(scenario={"version": 1, "rules": list(written)})


LOST = {"match": "create_virtual_interface", "first": 1, "at": "after_commit"}


@rules({**LOST, "reset": True})
def test_a_create_whose_answer_is_lost_took_effect_once(vifsim: Cloud) -> None:
    told = [create(vifsim), create(vifsim)]

    assert told == [None, 409]
    vifsim.effects.exactly_once("create_virtual_interface", network="added_network")
    assert [gap.seq for gap in vifsim.journal.gaps()] == [1]


@rules({**LOST, "status": 503})
def test_a_create_that_is_called_a_failure_took_effect_once(vifsim: Cloud) -> None:
    told = [create(vifsim), create(vifsim)]

    assert told == [503, 409]
    vifsim.effects.exactly_once("create_*", server="web-1", network=vifsim.network_id)
    (gap,) = vifsim.journal.gaps()
    assert (gap.told.status, gap.committed) == (503, True)
    assert gap.effects[0]["id"] == vifsim.state.interfaces(network="added_network")[0].id


@rules({"match": "create_virtual_interface", "first": 1, "status": 503})
def test_a_create_that_was_refused_before_its_effect_is_no_gap(vifsim: Cloud) -> None:
    told = [create(vifsim), create(vifsim)]

    assert told == [503, 200]
    vifsim.effects.exactly_once("create_virtual_interface", network="added_network")
    assert vifsim.journal.gaps() == []


@rules({"match": "create_virtual_interface", "corrupt": "cut_json"})
def test_a_success_whose_body_is_spoiled_is_a_gap(vifsim: Cloud) -> None:
    told = create(vifsim)

    assert told == 200
    assert [gap.told.spoiled for gap in vifsim.journal.gaps()] == [True]


@rules({"match": "create_virtual_interface", "duplicate": {"times": 2, "answer": "last"}})
def test_a_call_that_was_delivered_twice_took_effect_once_and_was_told_otherwise(
    vifsim: Cloud,
) -> None:
    told = create(vifsim)

    assert told == 409
    vifsim.effects.exactly_once("create_virtual_interface", network="added_network")
    assert len(vifsim.journal.gaps()) == 1


def test_what_did_not_happen_is_told_with_its_calls(vifsim: Cloud) -> None:
    create(vifsim)
    create(vifsim, "99999999-9999-4999-8999-999999999999")

    with pytest.raises(AssertionError, match=r"took effect 1 time, expected 0(.|\n)*200"):
        vifsim.effects.none("create_virtual_interface", network="added_network")
    with pytest.raises(AssertionError, match=r"took effect 0 times, expected 1(.|\n)*404"):
        vifsim.effects.exactly_once(
            "create_virtual_interface", network="99999999-9999-4999-8999-999999999999"
        )


def test_an_effect_names_its_call_and_its_object(vifsim: Cloud) -> None:
    create(vifsim)

    (effect,) = vifsim.effects

    assert (effect.entry, effect.operation) == (1, "create_virtual_interface")
    assert (effect.kind, effect.object) == ("created", "virtual_interface")


@pytest.mark.vifsim(clock="manual")
def test_a_wait_that_only_the_client_felt_is_told_in_both_times(vifsim: Cloud) -> None:
    create(vifsim)
    vifsim.run(SimClock().pause(0.01))
    create(vifsim)

    calls = vifsim.journal.calls("create_virtual_interface")

    with pytest.raises(AssertionError, match=r"came 0\.000 s .* clock \(0\.\d+ s in real time\)"):
        calls.waited_at_least(1)


def test_a_cloud_says_where_and_what_it_is(vifsim: Cloud) -> None:
    url = vifsim.url

    assert repr(vifsim) == f"<Cloud {url}, scenario none>"


async def test_a_simulator_says_where_and_what_it_is() -> None:
    async with Simulator(scenario="flaky-create") as simulator:
        told = repr(simulator)

    assert told == "<Simulator without a port, scenario flaky-create>"


def test_nothing_is_said_to_be_nothing(vifsim: Cloud) -> None:
    calls = vifsim.journal.calls("create_network")

    with pytest.raises(AssertionError, match=r"0 calls, expected 1(.|\n)*these calls:\n  none"):
        calls.exactly(1)


NETWORK = {"label": "backend", "cidr": "10.9.0.0/24"}
SERVER = {"name": "job-1", "imageRef": "1", "flavorRef": "2"}


def post(cloud: Cloud, path: str, **wanted: Any) -> Any:
    headers = {"X-Auth-Token": cloud.token}
    answer = requests.post(cloud.url + path, json=wanted, headers=headers, timeout=10)
    (made,) = answer.json().values()
    return made


def delete(cloud: Cloud, path: str) -> None:
    requests.delete(cloud.url + path, headers={"X-Auth-Token": cloud.token}, timeout=10)


def test_what_a_test_has_made_is_asked_for_by_its_name_even_when_it_is_gone(vifsim: Cloud) -> None:
    network = post(vifsim, "/os-networksv2", network=NETWORK)["id"]
    server = post(vifsim, "/servers", server=SERVER)["id"]
    path = f"/servers/{server}/os-virtual-interfacesv2"
    (interface,) = post(vifsim, path, virtual_interface={"network_id": network})
    delete(vifsim, f"{path}/{interface['id']}")
    delete(vifsim, f"/servers/{server}")
    delete(vifsim, f"/os-networksv2/{network}")

    journal = vifsim.journal

    journal.calls("*", server="job-1").told([202, 200, 200, 204])
    journal.calls("create_server", server="job-1").exactly(1)
    journal.calls("*", network="backend").told([200, 200, 200, 202])
    journal.calls("*", network=network).exactly(4)
    vifsim.effects.exactly_once("delete_virtual_interface", server="job-1", network="backend")
    vifsim.effects.exactly_once("delete_network", network="backend")


def test_two_things_of_one_name_are_both_meant(vifsim: Cloud) -> None:
    post(vifsim, "/servers", server=SERVER)
    post(vifsim, "/servers", server=SERVER)

    effects = vifsim.effects

    with pytest.raises(AssertionError, match="took effect 2 times, expected 1"):
        effects.exactly_once("create_server", server="job-1")


def test_a_name_that_nothing_has_had_is_refused_with_the_nearest(vifsim: Cloud) -> None:
    post(vifsim, "/servers", server=SERVER)

    journal = vifsim.journal

    with pytest.raises(UsageError, match=r"no server jop-1 \(did you mean job-1\?\)"):
        journal.calls(server="jop-1")


async def test_on_its_own_loop_a_simulator_knows_the_names_too() -> None:
    async with Simulator() as simulator, simulator.aiohttp_client() as http:
        await http.post("os-networksv2", json={"network": NETWORK})

        simulator.journal.calls("create_network", network="backend").told([200])


def test_an_operation_that_there_is_not_is_refused(vifsim: Cloud) -> None:
    with pytest.raises(UsageError, match="did you mean create_virtual_interface"):
        vifsim.effects.none("create_virtual_interfaces")


def test_one_status_is_no_list_of_them(vifsim: Cloud) -> None:
    one: Any = 200

    with pytest.raises(UsageError, match=r"told\(\[200\]\)"):
        vifsim.journal.calls("list_networks").told(one)
