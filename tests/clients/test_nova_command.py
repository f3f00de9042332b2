"""The `nova` command of the newest novaclient, with both extensions, against a simulated cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.clients.conftest import RunNova
    from vifsim.facade import Cloud


def test_nova_makes_a_network_and_attaches_a_server_to_it(vifsim: Cloud, run_nova: RunNova) -> None:
    made = run_nova("network-create", "made", "10.9.0.0/24")
    network = vifsim.networks["made"]
    attached = run_nova("virtual-interface-create", network, vifsim.server_id)

    (interface,) = vifsim.state.interfaces("web-1", "made")
    assert (made.returncode, attached.returncode) == (0, 0)
    assert network in made.stdout
    assert interface.id in attached.stdout
    assert f"label=made, network_id={network}, ip_address=10.9.0.1" in attached.stdout
    vifsim.effects.exactly_once("create_network")
    vifsim.effects.exactly_once("create_virtual_interface", server="web-1", network="made")


def test_nova_lists_and_detaches(vifsim: Cloud, run_nova: RunNova) -> None:
    run_nova("virtual-interface-create", vifsim.network_id, vifsim.server_id)
    (interface,) = vifsim.state.interfaces("web-1", "added_network")

    listed = run_nova("virtual-interface-list", vifsim.server_id)
    detached = run_nova("virtual-interface-delete", vifsim.server_id, interface.id)

    assert interface.id in listed.stdout
    assert detached.returncode == 0
    vifsim.effects.exactly_once("delete_virtual_interface", server="web-1")
    vifsim.invariants.no_leaks().told_is_true()


def test_nova_shows_what_it_was_refused(vifsim: Cloud, run_nova: RunNova) -> None:
    run_nova("virtual-interface-create", vifsim.network_id, vifsim.server_id)

    again = run_nova("virtual-interface-create", vifsim.network_id, vifsim.server_id)
    deleted = run_nova("network-delete", vifsim.network_id)

    told = f"Instance is already attached to network {vifsim.network_id} (HTTP 409)"
    assert (again.returncode, deleted.returncode) == (1, 1)
    assert f"ERROR (Conflict): {told}" in again.stderr
    assert "ERROR (Forbidden): Network has active ports" in deleted.stderr
    vifsim.journal.calls("create_virtual_interface").told([200, 409])
    vifsim.effects.none("delete_network")


def test_nova_does_not_try_again_by_itself(vifsim: Cloud, run_nova: RunNova) -> None:
    vifsim.rule(match="list_servers_detail", first=1, status=503)
    vifsim.rule(match="list_servers_detail", first=1, status=413, retry_after=7)

    first, second, third = run_nova("list"), run_nova("list"), run_nova("list")

    assert "ERROR (ClientException): Temporarily unavailable (HTTP 503)" in first.stderr
    assert "ERROR (OverLimit): OverLimit Retry... (HTTP 413)" in second.stderr
    assert "web-1" in third.stdout
    vifsim.journal.calls("list_servers_detail").told([503, 413, 200])


def test_nova_is_not_let_in_under_an_unknown_name(vifsim: Cloud, run_nova: RunNova) -> None:
    refused = run_nova("list", OS_USERNAME="nobody")

    assert refused.returncode == 1
    assert "(HTTP 401)" in refused.stderr
    vifsim.journal.calls("authenticate").told([401])
    vifsim.journal.calls("list_servers*").exactly(0)
