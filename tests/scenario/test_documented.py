"""The documented limits: one table, read as rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vifsim.model import OPERATIONS, Settings
from vifsim.scenario.documented import DOCUMENTED, documented_rules
from vifsim.scenario.matching import fits
from vifsim.scenario.rule import Limit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vifsim.scenario.documented import DocumentedLimit

ENFORCED = Settings(rate_limits="documented")


def limits(verb: str, operation: str) -> list[str]:
    """Return the limits that an operation counts in."""
    return [limit.id for limit in DOCUMENTED if _covers(limit, verb, operation)]


def _covers(limit: DocumentedLimit, verb: str, operation: str) -> bool:
    methods: Iterable[str] = limit.match.methods or (limit.verb,)
    return verb in methods and fits(operation, limit.match.operations)


def test_nothing_is_enforced_unless_a_setting_says_so() -> None:
    assert documented_rules(Settings()) == ()


def test_the_table_is_that_of_the_contract() -> None:
    assert [(row.verb, row.uri, row.value, row.unit) for row in DOCUMENTED] == [
        ("GET", "*", 1000, "MINUTE"),
        ("GET", "/servers/{id}/os-virtual-interfacesv2", 25, "MINUTE"),
        ("POST", "*", 100, "MINUTE"),
        ("POST", "/os-networksv2", 100, "DAY"),
        ("POST", "/servers *", 1000, "DAY"),
        ("POST", "/servers/{id}/os-virtual-interfacesv2", 4, "MINUTE"),
    ]


def test_each_line_becomes_a_limit_under_its_own_name() -> None:
    rules = documented_rules(ENFORCED)

    assert [rule.id for rule in rules] == [f"documented-{n}" for n in range(1, 7)]
    for rule, row in zip(rules, DOCUMENTED, strict=True):
        assert rule.origin == "documented"
        assert isinstance(rule.fault, Limit)
        assert (rule.fault.rate, rule.fault.window) == (row.value, row.window)
        assert rule.retry_after is not None
        assert rule.retry_after.kind == "auto"


@pytest.mark.parametrize(
    ("verb", "operation", "expected"),
    [
        ("GET", "get_server", [1]),
        ("HEAD", "get_server", [1]),
        ("GET", "list_extensions", [1]),
        ("GET", "unknown", [1]),
        ("GET", "list_virtual_interfaces", [1, 2]),
        ("POST", "create_network", [3, 4]),
        ("POST", "create_server", [3, 5]),
        ("POST", "create_virtual_interface", [3, 5, 6]),
        ("POST", "unknown", [3]),
    ],
)
def test_an_operation_counts_in_every_line_that_is_about_it(
    verb: str, operation: str, expected: list[int]
) -> None:
    assert limits(verb, operation) == [f"documented-{n}" for n in expected]


@pytest.mark.parametrize(
    "operation",
    [
        "list_versions",
        "get_version",
        "get_limits",
        "authenticate",
        "validate_token",
        "revoke_token",
        "list_endpoints",
        "list_tenants",
        "delete_server",
        "delete_network",
        "delete_virtual_interface",
    ],
)
def test_what_has_no_documented_limit_counts_in_none(operation: str) -> None:
    assert operation in OPERATIONS
    assert [limits(verb, operation) for verb in ("GET", "POST", "DELETE")] == [[], [], []]


def test_all_lines_count_by_user() -> None:
    assert {rule.schedule.per for rule in documented_rules(ENFORCED)} == {"user"}


def test_a_setting_splits_the_two_lines_about_interfaces_by_server() -> None:
    rules = documented_rules(Settings(rate_limits="documented", vif_limit_scope="server"))

    assert [rule.id for rule in rules if rule.schedule.per == "server"] == [
        "documented-2",
        "documented-6",
    ]


def test_a_rule_is_shown_with_what_it_asks() -> None:
    assert dict(documented_rules(ENFORCED)[2].source) == {
        "name": "documented-3",
        "match": {"operation": ["create_*", "unknown"], "method": ["POST"]},
        "limit": "100/1m",
    }
