"""The rate limits that the service documents, as rules.

The house rule: one table; the rules, the answer of `GET /limits` and the docs are read from it.

Source: API contract, section 7.2 (docs/api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from vifsim.scenario.rule import Limit, Match, RetryAfterRule, Rule, Schedule
from vifsim.values import frozen

if TYPE_CHECKING:
    from vifsim.model import Settings
    from vifsim.scenario.rule import Per

_MINUTE = 60.0
_DAY = 86400.0
_READS = (
    "list_servers*",
    "get_server",
    "list_addresses",
    "list_networks",
    "get_network",
    "list_virtual_interfaces",
    "list_extensions",
    "unknown",
)
_GET = ("GET", "HEAD")
_VIF_REGEX = "^/servers/([^/]+)/os-virtual-interfacesv2/?$"


@frozen
class DocumentedLimit:
    """One line of the documented table; `per_server`: a setting can count it per server."""

    id: str
    verb: str
    uri: str
    regex: str
    value: int
    unit: Literal["SECOND", "MINUTE", "HOUR", "DAY"]
    match: Match
    per_server: bool = False

    @property
    def window(self) -> float:
        """The length of the fixed window, seconds."""
        return _DAY if self.unit == "DAY" else _MINUTE

    def per(self, settings: Settings) -> Per:
        """Return what the limit counts by."""
        by_server = self.per_server and settings.vif_limit_scope == "server"
        return "server" if by_server else "user"


DOCUMENTED: tuple[DocumentedLimit, ...] = (
    DocumentedLimit(
        id="documented-1",
        verb="GET",
        uri="*",
        regex=".*",
        value=1000,
        unit="MINUTE",
        match=Match(operations=_READS, methods=_GET),
    ),
    DocumentedLimit(
        id="documented-2",
        verb="GET",
        uri="/servers/{id}/os-virtual-interfacesv2",
        regex=_VIF_REGEX,
        value=25,
        unit="MINUTE",
        match=Match(operations=("list_virtual_interfaces",)),
        per_server=True,
    ),
    DocumentedLimit(
        id="documented-3",
        verb="POST",
        uri="*",
        regex=".*",
        value=100,
        unit="MINUTE",
        match=Match(operations=("create_*", "unknown"), methods=("POST",)),
    ),
    DocumentedLimit(
        id="documented-4",
        verb="POST",
        uri="/os-networksv2",
        regex="^/os-networksv2/?$",
        value=100,
        unit="DAY",
        match=Match(operations=("create_network",)),
    ),
    DocumentedLimit(
        id="documented-5",
        verb="POST",
        uri="/servers *",
        regex="^/servers.*",
        value=1000,
        unit="DAY",
        match=Match(operations=("create_server", "create_virtual_interface")),
    ),
    DocumentedLimit(
        id="documented-6",
        verb="POST",
        uri="/servers/{id}/os-virtual-interfacesv2",
        regex=_VIF_REGEX,
        value=4,
        unit="MINUTE",
        match=Match(operations=("create_virtual_interface",)),
        per_server=True,
    ),
)
"""Least to most specific: every one that matches counts, the first that is used up answers."""


def documented_rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the documented limits as rules, or none where the settings leave them off."""
    if settings.rate_limits == "none":
        return ()
    return tuple(
        Rule(
            id=limit.id,
            match=limit.match,
            schedule=Schedule(per=limit.per(settings)),
            fault=Limit(rate=limit.value, window=limit.window),
            retry_after=RetryAfterRule(kind="auto"),
            origin="documented",
            source={
                "name": limit.id,
                "match": _match_source(limit.match),
                "limit": f"{limit.value}/{'1m' if limit.unit == 'MINUTE' else '24h'}",
            },
        )
        for limit in DOCUMENTED
    )


def _match_source(match: Match) -> dict[str, list[str]]:
    source = {"operation": list(match.operations)}
    return {**source, "method": list(match.methods)} if match.methods else source
