"""`every_fault`, as a test of a client uses it, and what must hold whatever befalls a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from vifsim.chaos.faults import KINDS
from vifsim.errors import UsageError
from vifsim.testing import every_fault

if TYPE_CHECKING:
    from vifsim.facade import Cloud
    from vifsim.simulator import Simulator

TWO_NETWORKS = {
    "version": 1,
    "name": "two-networks",
    "world": {
        "networks": [
            {"label": "one", "cidr": "10.1.0.0/24"},
            {"label": "two", "cidr": "10.2.0.0/24"},
        ]
    },
}
INNER = ("-o", "asyncio_default_fixture_loop_scope=function", "-pno:schemathesis", "-pno:anyio")


def ids(test: Any) -> list[str]:
    """Return the ids of a decorated test's cases."""
    (mark,) = test.pytestmark
    return [case.id for case in mark.args[1]]


def attach(cloud: Cloud, network: str) -> int | None:
    """Attach a server; return the status, None where no answer came."""
    path = f"{cloud.url}/v2/{cloud.tenant_id}/servers/{cloud.server_id}/os-virtual-interfacesv2"
    body = {"virtual_interface": {"network_id": network}}
    try:
        answer = requests.post(path, json=body, headers={"X-Auth-Token": cloud.token}, timeout=5)
    except requests.RequestException:
        return None
    return answer.status_code


def look(cloud: Cloud) -> None:
    path = f"{cloud.url}/v2/{cloud.tenant_id}/servers/{cloud.server_id}/os-virtual-interfacesv2"
    requests.get(path, headers={"X-Auth-Token": cloud.token}, timeout=5)


def test_cases_are_calls_by_faults_by_lawful_places() -> None:
    @every_fault(
        operations=["create_virtual_interface", "list_virtual_interfaces"],
        faults=[503, "truncated"],
    )
    def test(vifsim: Cloud) -> None:
        raise NotImplementedError

    assert ids(test) == [
        "list-virtual-interfaces-1-503",
        "list-virtual-interfaces-1-truncated",
        "create-virtual-interface-1-503",
        "create-virtual-interface-1-503-after-commit",
        "create-virtual-interface-1-truncated",
    ]


def test_a_rules_own_keys_are_a_fault_too_and_later_calls_can_be_meant() -> None:
    @every_fault(
        operations="create_virtual_*",
        faults=[{"status": 503, "retry_after": "1s"}, 409],
        at=["after_commit"],
        calls=2,
    )
    def test(vifsim: Cloud) -> None:
        raise NotImplementedError

    assert ids(test) == [
        "create-virtual-interface-1-status-503-retry-after-1-after-commit",
        "create-virtual-interface-1-status-409-after-commit",
        "create-virtual-interface-2-status-503-retry-after-1-after-commit",
        "create-virtual-interface-2-status-409-after-commit",
    ]


def test_unless_said_every_call_meets_everything_that_ends() -> None:
    @every_fault()
    def test(vifsim: Cloud) -> None:
        raise NotImplementedError

    found = ids(test)
    assert len(found) == len(set(found))
    for kind in KINDS:
        assert any(f"-1-{kind.name}" in name for name in found) == (kind.name != "hang")


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        ({"operations": "create_virtual_interfaces"}, "did you mean create_virtual_interface"),
        ({"faults": ["rest"]}, r"no fault rest \(did you mean reset\?\)"),
        ({"faults": [{"stats": 503}]}, "needs one of latency, status"),
        ({"at": ["after"]}, "before or after_commit, not after"),
        ({"operations": "list_*", "faults": [503], "at": ["after_commit"]}, "no such fault"),
    ],
)
def test_what_is_not_known_is_named(asked: dict[str, Any], wrong: str) -> None:
    with pytest.raises(UsageError, match=wrong):
        every_fault(**asked)


def test_a_test_without_a_cloud_is_a_mistake() -> None:
    def test_it() -> None:
        raise NotImplementedError

    with pytest.raises(
        UsageError, match="test_it takes none of vifsim, vifsim_session, vifsim_autojump"
    ):
        every_fault()(test_it)


@every_fault(operations="create_virtual_interface", faults=[503, "reset"])
def test_the_fault_befalls_the_call_whatever_else_the_test_takes(
    vifsim: Cloud, tmp_path: object
) -> None:
    assert tmp_path

    assert attach(vifsim, vifsim.network_id) in {503, None}


@every_fault(operations="list_servers", faults=[503])
async def test_the_fault_befalls_a_call_on_the_tests_own_loop(vifsim_autojump: Simulator) -> None:
    import aiohttp  # noqa: PLC0415 -- only here

    async with aiohttp.ClientSession() as session:
        headers = {"X-Auth-Token": vifsim_autojump.token}
        async with session.get(f"{vifsim_autojump.url}/servers", headers=headers) as answer:
            assert answer.status == 503


def test_a_case_whose_call_is_never_made_is_skipped(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import urllib.request
        from vifsim.testing import every_fault

        @every_fault(operations=["list_versions", "create_virtual_interface"], faults=["slow"])
        def test_it(vifsim):
            urllib.request.urlopen(vifsim.url + "/")
        """
    )

    result = pytester.runpytest_inprocess("-p", "no:randomly", "-rs", *INNER)

    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["*the client made no such call: the 1st create_virtual_interf*"])


# ── invariants ──


@pytest.mark.vifsim(scenario=TWO_NETWORKS)
def test_an_interface_made_beside_one_that_was_lost_is_a_duplicate(vifsim: Cloud) -> None:
    vifsim.rule(match="create_virtual_interface", nth=1, at="after_commit", reset=True)
    attach(vifsim, vifsim.network_id)

    vifsim.invariants.no_duplicates()
    attach(vifsim, vifsim.networks["two"])

    with pytest.raises(AssertionError, match=r"made twice: \S+ \(entry 1\) and "):
        vifsim.invariants.no_duplicates()


@pytest.mark.vifsim(scenario=TWO_NETWORKS)
def test_a_client_that_has_looked_may_make_another(vifsim: Cloud) -> None:
    vifsim.rule(match="create_virtual_interface", nth=1, at="after_commit", reset=True)
    attach(vifsim, vifsim.network_id)
    look(vifsim)

    attach(vifsim, vifsim.networks["two"])

    vifsim.invariants.no_duplicates()


def test_an_interface_that_is_left_is_a_leak(vifsim: Cloud) -> None:
    attach(vifsim, vifsim.network_id)

    with pytest.raises(AssertionError, match="interfaces left behind"):
        vifsim.invariants.no_leaks()


def test_an_answer_that_hides_an_effect_is_not_true(vifsim: Cloud) -> None:
    vifsim.rule(match="create_virtual_interface", nth=1, at="after_commit", status=503)
    attach(vifsim, vifsim.network_id)

    with pytest.raises(AssertionError, match="told something else than what happened"):
        vifsim.invariants.told_is_true()
