"""Stock clients, unmodified, over loopback: what they report, and what really happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.clients.conftest import StartClient
    from vifsim.facade import Cloud

UNKNOWN = "99999999-9999-4999-8999-999999999999"
PASSWORD, API_KEY = "demo-password", "demo-key"
CIDR = "10.9.0.0/24"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """What one client calls each refusal, and what it makes of `Retry-After: 7`."""

    bad_login: str
    duplicate: str
    unknown: str
    in_use: str
    unavailable: str
    over_limit: str
    retry_after: str | int | None


MANNERS = {
    "novaclient": Manner(
        bad_login="Unauthorized",
        duplicate="Conflict",
        unknown="NotFound",
        in_use="Forbidden",
        unavailable="ClientException",
        over_limit="OverLimit",
        retry_after=7,
    ),
    "rackspacesdk": Manner(
        bad_login="HttpException",
        duplicate="HttpException",
        unknown="NotFoundException",
        in_use="HttpException",
        unavailable="HttpException",
        over_limit="HttpException",
        retry_after="7",
    ),
    "pyrax": Manner(
        bad_login="AuthenticationFailed",
        duplicate="Conflict",
        unknown="NotFound",
        in_use="NetworkInUse",
        unavailable="ClientException",
        over_limit="OverLimit",
        retry_after=7,
    ),
    "libcloud": Manner(
        bad_login="InvalidCredsError",
        duplicate="BaseHTTPError",
        unknown="BaseHTTPError",
        in_use="BaseHTTPError",
        unavailable="BaseHTTPError",
        over_limit="BaseHTTPError",
        retry_after="7",
    ),
    "openstacksdk": Manner(
        bad_login="SDKException",
        duplicate="ConflictException",
        unknown="NotFoundException",
        in_use="ForbiddenException",
        unavailable="HttpException",
        over_limit="HttpException",
        retry_after="7",
    ),
    "pkgcloud": Manner(
        bad_login="Unauthorized",
        duplicate="Build in progress",
        unknown="Item not found",
        in_use="Resize not allowed",
        unavailable="Service Unavailable",
        over_limit="Over Limit",
        retry_after="7",
    ),
}

WITH_API_KEY = tuple(name for name in MANNERS if name != "openstacksdk")
"""Today's SDK has no plugin for API keys."""

every_client = pytest.mark.parametrize("name", MANNERS)


@pytest.mark.parametrize("name", WITH_API_KEY)
def test_a_client_logs_in_with_an_api_key(
    name: str, vifsim: Cloud, start_client: StartClient
) -> None:
    client = start_client(name)

    client.ask("log_in", "api_key", API_KEY)
    servers = client.ask("servers")

    assert servers == dict(vifsim.servers)
    vifsim.journal.calls("authenticate").told([200])
    assert {entry.user for entry in vifsim.journal.calls("list_servers*")} == {"demo"}


@every_client
def test_a_client_that_gives_a_wrong_password_says_so(
    name: str, vifsim: Cloud, start_client: StartClient
) -> None:
    client = start_client(name)

    refused = client.refused("log_in", "password", "wrong")

    assert refused.kind == MANNERS[name].bad_login
    assert {entry.told.status for entry in vifsim.journal.calls("authenticate")} == {401}
    assert not vifsim.effects


@every_client
def test_a_client_sees_each_step_of_an_interface_as_it_happens(
    name: str, vifsim: Cloud, start_client: StartClient
) -> None:
    client = start_client(name)
    client.ask("log_in", "password", PASSWORD)
    server = client.ask("servers")["web-1"]

    network = client.ask("create_network", "made", CIDR)
    made = client.ask("attach", server, network["id"])
    attached = vifsim.state.interfaces("web-1", "made")
    listed = client.ask("interfaces", server)
    client.ask("detach", server, made["id"])
    left = client.ask("interfaces", server)
    client.ask("delete_network", network["id"])
    labels = client.ask("networks")

    address = {"address": "10.9.0.1", "network_id": network["id"], "network_label": "made"}
    assert (network["label"], network["cidr"]) == ("made", CIDR)
    assert made["ip_addresses"] == [address]
    assert [interface.id for interface in attached] == [made["id"]]
    assert [interface["id"] for interface in listed][-1] == made["id"]
    assert left == listed[:-1]
    assert set(labels) == {"added_network", "public", "private"}
    vifsim.effects.exactly_once("create_virtual_interface", server="web-1")
    vifsim.effects.exactly_once("delete_virtual_interface", server="web-1")
    vifsim.invariants.no_leaks().no_duplicates().told_is_true()


@every_client
def test_a_client_in_a_retry_loop_gets_through_an_outage_and_a_limit(
    name: str, vifsim: Cloud, start_client: StartClient
) -> None:
    client = start_client(name)
    client.ask("log_in", "password", PASSWORD)
    vifsim.rule(match="create_virtual_interface", first=2, status=503)
    vifsim.rule(match="create_virtual_interface", first=1, status=413, retry_after=7)

    made, refusals = client.patiently("attach", vifsim.server_id, vifsim.network_id)

    manner = MANNERS[name]
    kinds = [manner.unavailable, manner.unavailable, manner.over_limit]
    assert [refused.kind for refused in refusals] == kinds
    assert [refused.status for refused in refusals] == [503, 503, 413]
    assert refusals[-1].retry_after == manner.retry_after
    (attached,) = vifsim.state.interfaces("web-1", "added_network")
    assert made["id"] == attached.id
    vifsim.journal.calls("create_virtual_interface").told([503, 503, 413, 200])
    vifsim.effects.exactly_once("create_virtual_interface")


@every_client
def test_a_client_is_told_of_a_second_interface_on_one_network(
    name: str, vifsim: Cloud, start_client: StartClient
) -> None:
    client = start_client(name)
    client.ask("log_in", "password", PASSWORD)
    client.ask("attach", vifsim.server_id, vifsim.network_id)

    refused = client.refused("attach", vifsim.server_id, vifsim.network_id)

    assert (refused.kind, refused.status) == (MANNERS[name].duplicate, 409)
    assert "already attached" in refused.message
    vifsim.journal.calls("create_virtual_interface").told([200, 409])
    vifsim.effects.exactly_once("create_virtual_interface")


@every_client
def test_a_client_is_told_of_a_network_that_does_not_exist(
    name: str, vifsim: Cloud, start_client: StartClient
) -> None:
    client = start_client(name)
    client.ask("log_in", "password", PASSWORD)

    refused = client.refused("attach", vifsim.server_id, UNKNOWN)

    assert (refused.kind, refused.status) == (MANNERS[name].unknown, 404)
    vifsim.journal.calls("create_virtual_interface", network=UNKNOWN).told([404])
    vifsim.effects.none("create_virtual_interface")


@every_client
def test_a_client_is_told_that_a_network_is_in_use(
    name: str, vifsim: Cloud, start_client: StartClient
) -> None:
    client = start_client(name)
    client.ask("log_in", "password", PASSWORD)
    client.ask("attach", vifsim.server_id, vifsim.network_id)

    refused = client.refused("delete_network", vifsim.network_id)

    assert refused.kind == MANNERS[name].in_use
    vifsim.journal.calls("delete_network").told([403])
    vifsim.effects.none("delete_network")
    assert "added_network" in vifsim.networks
