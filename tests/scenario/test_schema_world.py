"""A world as a scenario writes it, and as a store gets it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from vifsim.demo_world import demo_world
from vifsim.draws import secret_digest, token_digest
from vifsim.errors import ScenarioError
from vifsim.model import (
    ADDED_NETWORK,
    DEMO_TOKEN,
    PUBLIC,
    SERVICE,
    WEB_1,
    Policy,
    Quotas,
    SeedInterface,
    SeedNetwork,
    SeedServer,
    Settings,
    TenantId,
)
from vifsim.scenario.schema import SettingsSchema, load_world
from vifsim.scenario.world_schema import read_world

TENANT = TenantId("123456")
NEW_ID = "aaaaaaaa-0000-4000-8000-000000000001"


def flaws_of(world: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ScenarioError) as caught:
        load_world(world, 0)
    return [(problem.at, problem.detail) for problem in caught.value.problems]


def test_an_empty_world_is_the_demo_world() -> None:
    world = load_world({}, 7)

    assert world.seed == 7
    assert [user.name for user in world.users] == ["demo", "observer", "creator"]
    assert [server.name for server in world.servers] == ["web-1", "web-2", "db-1"]
    assert world.servers[0].networks == (PUBLIC, SERVICE)
    assert world.networks[0].id == ADDED_NETWORK
    assert world.settings == Settings()


def test_secrets_and_tokens_are_kept_as_digests() -> None:
    user = load_world({}, 0).users[0]

    assert user.password == secret_digest("demo-password")
    assert user.api_key == secret_digest("demo-key")
    assert user.token == token_digest(DEMO_TOKEN)


def test_user_ids_are_digits_that_stay_the_same() -> None:
    tenants = [{"id": "a", "users": [{"name": "u"}]}, {"id": "b", "users": [{"name": "v"}]}]

    world = load_world({"tenants": tenants, "servers": [], "networks": []}, 0)

    assert [(user.id, user.tenant) for user in world.users] == [("10000", "a"), ("10001", "b")]
    assert world.users[0].role == "admin"


def test_each_key_left_out_keeps_the_demo_worlds() -> None:
    world = load_world({"servers": [{"name": "only"}]}, 0)

    assert world.servers == (SeedServer(name="only", tenant=TENANT, networks=(PUBLIC, SERVICE)),)
    assert len(world.users) == 3
    assert len(world.networks) == 1


def test_references_become_ids_where_there_are_ids() -> None:
    world = load_world(
        {
            "servers": [{"name": "a", "id": NEW_ID.upper(), "networks": ["added_network"]}],
            "virtual_interfaces": [{"server": "a", "network": "private"}],
        },
        0,
    )

    assert world.servers[0].networks == (ADDED_NETWORK,)
    assert world.interfaces == (SeedInterface(server=NEW_ID, network=SERVICE),)


def test_a_network_without_an_id_is_named_by_its_label() -> None:
    world = load_world(
        {
            "networks": [{"label": "net", "cidr": "10.0.0.0/30"}],
            "servers": [{"name": "a", "networks": ["net"]}],
            "virtual_interfaces": [
                {"server": "a", "network": "net", "mac_address": "bc:76:4e:00:00:01"}
            ],
        },
        0,
    )

    assert world.networks == (SeedNetwork(label="net", cidr="10.0.0.0/30", tenant=TENANT),)
    assert world.servers[0].networks == ("net",)
    assert world.interfaces[0].mac_address == "BC:76:4E:00:00:01"


def test_addresses_are_kept_as_the_api_shows_them() -> None:
    item = {"server": "web-1", "network": "public", "addresses": ["2001:DB8::1", "198.51.100.1"]}

    (interface,) = load_world({"virtual_interfaces": [item]}, 0).interfaces

    assert interface.server == WEB_1
    assert interface.addresses == (
        "2001:0db8:0000:0000:0000:0000:0000:0001",
        "198.51.100.1",
    )


def test_settings_have_their_units() -> None:
    given = {"build_time": "3s", "token_lifetime": "1h", "quotas": {"instances": None}}

    found = load_world({"settings": given}, 0).settings

    assert (found.build_time, found.token_lifetime) == (3.0, 3600.0)
    assert found.quotas == Quotas(instances=None)


def test_a_setting_of_its_own_wins_over_the_profile() -> None:
    found = load_world({"settings": {"profile": "live", "retry_after": "seconds"}}, 0).settings

    assert (found.duplicate_vif_status, found.rate_limits) == (400, "documented")
    assert found.retry_after == "seconds"


def test_a_policy_names_networks_by_label_or_id() -> None:
    policy = {"required": ["public", SERVICE], "banned": ["added_network"], "max_isolated": 1}

    found = load_world({"settings": {"policy": policy}}, 0).settings.policy

    assert found == Policy(required=(PUBLIC, SERVICE), banned=(ADDED_NETWORK,), max_isolated=1)


def test_every_setting_of_the_model_can_be_set() -> None:
    assert set(SettingsSchema.keys()) == {field.name for field in fields(Settings)}


def test_quotas_of_a_tenant_are_those_it_names() -> None:
    tenants = [{"id": "123456", "quotas": {"instances": 2, "networks": None}}]

    (tenant,) = load_world({"tenants": tenants}, 0).tenants

    assert tenant.quotas == {"instances": 2, "networks": None}


MISFITS: list[tuple[dict[str, Any], str, str]] = [
    ({"settings": None}, "settings", "settings has no value"),
    ({"settings": {"build_time": 3}}, "settings.build_time", "build_time needs a unit"),
    ({"settings": {"vif_order": "label"}}, "settings.vif_order", "vif_order is not built yet"),
    ({"tenants": [], "servers": [], "networks": []}, "tenants", "at least one tenant"),
    ({"tenants": [{}]}, "tenants[0].id", "id is missing"),
    ({"tenants": [{"id": 1}]}, "tenants[0].id", "id must be text"),
    ({"networks": [{"label": "a"}]}, "networks[0].cidr", "cidr is missing"),
    (
        {"networks": [{"label": "a", "cidr": "10.0.0.1/8"}]},
        "networks[0].cidr",
        "must be a CIDR",
    ),
    (
        {"networks": [{"label": "a", "cidr": "10.0.0.0/31"}]},
        "networks[0].cidr",
        "must be a CIDR",
    ),
    (
        {"networks": [{"id": PUBLIC, "label": "a", "cidr": "10.0.0.0/8"}]},
        "networks[0].id",
        "is given twice",
    ),
    ({"servers": [{"name": " "}]}, "servers[0].name", "name must not be empty"),
    ({"servers": [{"name": "a", "id": "x"}]}, "servers[0].id", "id must be a UUID, not x"),
    (
        {"servers": [{"name": "a", "status": "GONE"}]},
        "servers[0].status",
        "status must be one of",
    ),
    ({"servers": [{"name": "a", "status": "DELETED"}]}, "servers[0].status", "must be one of"),
    (
        {"servers": [{"name": "a", "networks": ["publc"]}]},
        "servers[0].networks[0]",
        "there is no network publc",
    ),
    (
        {"servers": [{"name": "a", "networks": ["public", PUBLIC]}]},
        "servers[0].networks[1]",
        "is given twice",
    ),
    (
        {"servers": [{"name": "a", "id": NEW_ID}, {"name": "b", "id": NEW_ID}]},
        "servers[1].id",
        "is given twice",
    ),
    (
        {"virtual_interfaces": [{"server": "web-9", "network": "public"}]},
        "virtual_interfaces[0].server",
        "there is no server web-9",
    ),
    (
        {"virtual_interfaces": [{"server": "web-1", "network": "public"}] * 2},
        "virtual_interfaces[1]",
        "given twice",
    ),
    (
        {"virtual_interfaces": [{"server": "web-1", "network": "public", "addresses": ["1.2.3"]}]},
        "virtual_interfaces[0].addresses[0]",
        "must be an IP address",
    ),
    (
        {
            "servers": [{"name": "a"}, {"name": "a"}],
            "virtual_interfaces": [{"server": "a", "network": "public"}],
        },
        "virtual_interfaces[0].server",
        "more than one server is called a",
    ),
    (
        {"networks": [{"label": "public", "cidr": "10.0.0.0/8"}], "servers": [{"name": "a"}]},
        "servers[0].networks[0]",
        "more than one network is called public",
    ),
    (
        {"settings": {"policy": {"banned": ["nowhere"]}}},
        "settings.policy.banned[0]",
        "there is no network nowhere",
    ),
    (
        {
            "tenants": [
                {"id": "123456", "users": [{"name": "u", "token": "t"}, {"name": "u"}]},
            ]
        },
        "tenants[0].users[1].name",
        "u is given twice",
    ),
]


@pytest.mark.parametrize(("world", "at", "detail"), MISFITS)
def test_a_world_that_does_not_fit_together_is_refused_at_its_place(
    world: dict[str, Any], at: str, detail: str
) -> None:
    found = flaws_of(world)

    assert found[0][0] == at
    assert detail in found[0][1]


def test_a_token_that_two_users_have_is_not_told() -> None:
    users = [{"name": "u", "token": "very-secret"}, {"name": "v", "token": "very-secret"}]

    ((at, detail),) = flaws_of({"tenants": [{"id": "123456", "users": users}]})

    assert at == "tenants[0].users[1].token"
    assert "very-secret" not in detail


def test_servers_of_the_demo_world_do_not_fit_other_tenants() -> None:
    found = flaws_of({"tenants": [{"id": "a"}], "networks": []})

    assert {at for at, _ in found} == {""}
    assert "there is no tenant 123456" in found[0][1]


def test_another_tenants_network_is_not_there() -> None:
    world = {
        "tenants": [{"id": "a"}, {"id": "b"}],
        "networks": [{"label": "net", "cidr": "10.0.0.0/8", "tenant": "a"}],
        "servers": [{"name": "s", "tenant": "b", "networks": ["net"]}],
    }

    assert flaws_of(world) == [("servers[0].networks[0]", "there is no network net")]


def test_the_demo_world_is_what_the_schema_makes_of_its_document() -> None:
    world, flaws = read_world({}, seed=3)

    assert (world, flaws) == (demo_world(3), [])
