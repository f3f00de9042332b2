"""What clients were bitten by: that each can be brought about, by a setting, a rule or a change.

Source: API contract, section 10 (docs/api.md); docs/symptoms.md tells the same rows to users.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.errors import UsageError
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from tests.conftest import Api, ApiOf, MakeCloud

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
WEB_2 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a02"
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
PUBLIC = "00000000-0000-0000-0000-000000000000"
PRIVATE = "11111111-1111-1111-1111-111111111111"
UNKNOWN = "99999999-9999-4999-8999-999999999999"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"
TEXT = "text/plain; charset=UTF-8"
NEW_SERVER = {"server": {"name": "new", "imageRef": "1", "flavorRef": "2"}}


def rules(*found: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "rules": list(found)}


def settings(**found: Any) -> dict[str, Any]:
    return {"settings": found}


async def test_symptom_1_a_boot_is_refused_in_plain_text(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    policy = {"exactly_isolated": 1}
    world = settings(policy=policy, raw_framework_bodies=True)
    api = api_of(await make_cloud(world=world))

    told = await api.post("/servers", NEW_SERVER)

    assert (told.status, told.headers["Content-Type"]) == (403, TEXT)
    assert told.body.startswith(b"403 Forbidden\n\n")
    assert b"Exactly 1 isolated network(s) must be attached" in told.body


async def test_symptom_2_an_attach_is_refused_in_plain_text(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    world = settings(policy={"banned": [ADDED_NETWORK]}, raw_framework_bodies=True)
    api = api_of(await make_cloud(world=world))

    told = await api.attach()

    assert (told.status, told.headers["Content-Type"]) == (403, TEXT)
    assert f"Networks ({ADDED_NETWORK}) not allowed".encode() in told.body


async def test_symptom_2_a_required_network_is_not_detached_and_says_so_in_plain_text(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    world = settings(policy={"required": [PUBLIC]}, raw_framework_bodies=True)
    api = api_of(await make_cloud(world=world))
    public = (await api.interfaces())[0]["id"]

    told = await api.delete(f"{VIFS}/{public}")

    assert (told.status, told.headers["Content-Type"]) == (403, TEXT)
    assert b"cannot be detached" in told.body


async def test_symptom_3_a_delete_answers_text_though_json_was_asked_for(api: Api) -> None:
    path = f"/os-networksv2/{ADDED_NETWORK}"

    told = await api.delete(path, headers={"Accept": "application/json"})

    assert (told.status, told.headers["Content-Type"]) == (202, TEXT)


@pytest.mark.parametrize("status", [200, 204])
async def test_symptom_4_a_detach_answers_200_or_204(
    make_cloud: MakeCloud, api_of: ApiOf, status: int
) -> None:
    api = api_of(await make_cloud(world=settings(vif_delete_status=status)))
    public = (await api.interfaces())[0]["id"]

    told = await api.delete(f"{VIFS}/{public}")

    assert (told.status, told.body) == (status, b"")


@pytest.mark.parametrize(
    ("status", "name"), [(403, "forbidden"), (409, "conflictingRequest")], ids=str
)
async def test_symptom_5_a_network_in_use_is_a_403_or_a_409(
    make_cloud: MakeCloud, api_of: ApiOf, status: int, name: str
) -> None:
    api = api_of(await make_cloud(world=settings(network_in_use_status=status)))
    await api.attach()

    told = await api.delete(f"/os-networksv2/{ADDED_NETWORK}")

    assert (told.status, told.fault) == (status, name)


async def test_symptom_6_one_status_has_three_meanings_told_apart_by_their_texts(api: Api) -> None:
    path = "/os-networksv2"
    for _ in range(9):
        await api.new_network()

    texts = [
        (await api.post(path, {"network": {"label": "a", "cidr": cidr}})).message
        for cidr in ("x", "10.0.0.0/31", "10.0.0.0/24")
    ]

    parts = ("CIDR is malformed", "does not contain enough", "too many networks")
    assert all(part in text for part, text in zip(parts, texts, strict=True))


async def test_symptom_7_a_good_token_is_refused_for_ever(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    rule = {"match": "*virtual_interface*", "status": 401}
    api = api_of(await make_cloud(scenario=rules(rule)))

    statuses: list[int] = []
    for _ in range(3):
        again = await api.log_in("demo")
        statuses.append((await again.get(VIFS)).status)

    assert statuses == [401, 401, 401]


async def test_symptom_7_a_good_token_is_refused_twice(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    rule = {"match": "*virtual_interface*", "first": 2, "status": 401}
    api = api_of(await make_cloud(scenario=rules(rule)))

    statuses = [(await api.get(VIFS)).status for _ in range(3)]

    assert statuses == [401, 401, 200]


async def test_symptom_8_every_token_stops_working_at_once(api: Api, cloud: Simulator) -> None:
    caller = await api.log_in("demo")

    await cloud.amend("revoke_all_tokens")
    dead = await caller.get("/servers")
    again = await (await api.log_in("demo")).get("/servers")

    assert (dead.status, again.status) == (401, 200)


async def test_symptom_8_a_token_lives_an_hour(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    cloud = await make_cloud(clock="manual", world={"settings": {"token_lifetime": "1h"}})
    caller = await api_of(cloud).log_in("demo")

    await cloud.advance_clock("1h")
    told = await caller.get("/servers")

    assert told.status == 401


async def test_symptom_9_a_process_that_runs_for_a_day_loses_its_token(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud()
    caller = await api_of(cloud).log_in("demo")

    await cloud.advance_clock("24h")
    dead = await caller.get("/servers")
    again = await (await caller.log_in("demo")).get("/servers")

    assert (dead.status, again.status) == (401, 200)


async def test_symptom_10_the_real_error_comes_after_the_new_log_in(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    create = {"match": "create_server", "first": 1}
    api = api_of(
        await make_cloud(scenario=rules({**create, "status": 401}, {**create, "status": 403}))
    )

    first = await api.post("/servers", NEW_SERVER)
    second = await (await api.log_in("demo")).post("/servers", NEW_SERVER)

    assert [first.status, second.status] == [401, 403]
    assert second.json()["forbidden"].keys() == {"code", "message"}


async def test_symptom_11_retry_after_is_a_date(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    world = settings(rate_limits="documented", retry_after="date")
    api = api_of(await make_cloud(world=world))

    answers = [await api.attach() for _ in range(5)]

    date = r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
    assert re.fullmatch(date, answers[4].headers["Retry-After"])


@pytest.mark.parametrize("dialect", ["uk2012", "repose", "nova"])
async def test_symptom_12_a_dialect_that_is_not_built_says_so(dialect: str) -> None:
    with pytest.raises(UsageError, match=f"{dialect}.*not"):
        Simulator(world=settings(over_limit_dialect=dialect))


async def test_symptom_12_the_time_is_in_the_body_as_well(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    rule = {"match": "get_limits", "status": 413, "retry_after": "7s"}
    api = api_of(await make_cloud(scenario=rules(rule)))

    told = await api.get("/limits")

    assert told.headers["Retry-After"] == "7"
    assert told.json()["overLimit"]["retryAt"].endswith("Z")


async def test_symptom_13_one_413_says_slow_down(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    rule = {"match": "create_server", "limit": "1/1h"}
    api = api_of(await make_cloud(scenario=rules(rule)))

    await api.post("/servers", NEW_SERVER)
    told = await api.post("/servers", NEW_SERVER)

    assert (told.status, told.headers["Retry-After"]) == (413, "3600")
    assert "retryAt" in told.json()["overLimit"]


async def test_symptom_13_another_413_says_never(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    world = settings(quota_status=413, quotas={"instances": 3})
    api = api_of(await make_cloud(world=world))

    told = await api.post("/servers", NEW_SERVER)

    assert (told.status, told.headers["Retry-After"]) == (413, "0")
    assert told.json()["overLimit"]["retryAfter"] == 0
    assert "X-Compute-Request-Id" in told.headers


async def test_symptom_13_the_third_413_names_no_time(api: Api) -> None:
    told = await api.post("/servers", data=b" " * 114_689)

    assert (told.status, told.fault) == (413, "overLimit")
    assert "Retry-After" not in told.headers
    assert told.json()["overLimit"].keys() == {"code", "message"}


async def test_symptom_14_one_413_comes_with_the_texts_that_users_saw(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    rule = {"match": "list_networks", "nth": 3, "status": 413, "retry_after": "30s"}
    api = api_of(await make_cloud(scenario=rules(rule)))

    answers = [await api.get("/os-networksv2") for _ in range(4)]

    assert [told.status for told in answers] == [200, 200, 413, 200]
    assert answers[2].message == "OverLimit Retry..."


async def test_symptom_15_a_quota_is_used_up_and_lifted(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(world=settings(quotas={"instances": 3}))
    api = api_of(cloud)

    refused = await api.post("/servers", NEW_SERVER)
    await cloud.amend("set_quotas", tenant="123456", quotas={"instances": 4})
    made = await api.post("/servers", NEW_SERVER)

    assert (refused.status, refused.fault, made.status) == (403, "forbidden", 202)
    assert refused.headers["Retry-After"] == "0"
    text = "Quota exceeded for instances: Requested 1, but already used 3 of 3 instances"
    assert refused.message == text


async def test_symptom_16_networks_that_a_client_dropped_are_missed_in_the_state(
    api: Api, cloud: Simulator
) -> None:
    await api.boot("lost", networks=None)

    servers = {item["name"]: item for item in (await cloud.state_document())["servers"]}
    (entry,) = cloud.journal.documents(cloud.journal)

    assert servers["lost"]["networks"] == ["public", "private"]
    assert entry["operation"] == "create_server"


async def test_symptom_17_swapped_ids_are_told_apart_by_the_texts(api: Api) -> None:
    public = (await api.interfaces())[0]["id"]

    swapped = await api.attach(ADDED_NETWORK, WEB_1)
    detached = await api.delete(f"/servers/{public}/os-virtual-interfacesv2/{WEB_1}")
    unknown_network = await api.attach(WEB_1, WEB_1)
    unknown_interface = await api.delete(f"{VIFS}/{WEB_1}")

    texts = [told.message for told in (swapped, detached, unknown_network, unknown_interface)]
    assert texts == [
        "Instance could not be found",
        "Instance could not be found",
        "Network not found",
        "Virtual interface not found",
    ]


async def test_symptom_18_a_network_takes_as_many_servers_as_the_quota_says(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    world = settings(quotas={"servers_per_network": 1})
    api = api_of(await make_cloud(world=world))

    answers = [await api.attach(WEB_1), await api.attach(WEB_2)]

    assert [told.status for told in answers] == [200, 400]
    assert answers[1].message.startswith("Too many instances attached")


async def test_symptom_19_an_attach_answers_200(api: Api) -> None:
    assert (await api.attach()).status == 200


# ── the page that tells users ──

PAGE = (Path(__file__).parents[2] / "docs" / "symptoms.md").read_text("utf-8")


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_a_scenario_on_the_page_of_symptoms_is_sound(text: str, tmp_path: Path) -> None:
    file = tmp_path / "saved.yaml"
    file.write_text(text)

    assert Simulator(scenario=file).scenario.text == text


def test_the_page_tells_every_symptom() -> None:
    assert re.findall(r"^## (\d+) ", PAGE, re.MULTILINE) == [str(n) for n in range(1, 20)]
