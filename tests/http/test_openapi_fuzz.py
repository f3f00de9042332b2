"""Requests made up from the OpenAPI document: none is a defect, each answer is a documented one."""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUntypedFunctionDecorator=false, reportArgumentType=false
# pyright: reportUnknownArgumentType=false
# schemathesis leaves most of its types open.

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from vifsim.http.openapi import document
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vifsim.facade import Cloud

CHECKED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
ENDLESS = "/_vifsim/events"  # its answer ends when the reader leaves; tests/http/test_events.py
SCHEMA = schemathesis.openapi.from_dict(document()).exclude(path=ENDLESS)
OPERATIONS: dict[str, schemathesis.APIOperation[Any, Any, Any, Any]] = {
    found.ok().label: found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)
}
HOW = settings(
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def fuzzed(each_backend_url: str) -> Iterator[Cloud]:
    """A cloud on each backend; only waiting moves its time."""
    with Simulator(backend=each_backend_url, clock="manual", self_stepping=True) as cloud:
        yield cloud
        assert cloud.simulator.edge.last_defect is None


@cache
def requests_of(label: str) -> strategies.SearchStrategy[schemathesis.Case[Any]]:
    """Return what makes requests of one operation up, some as the document wants them, some not."""
    operation = OPERATIONS[label]
    return strategies.one_of([operation.as_strategy(generation_mode=m) for m in GenerationMode])


def fuzz(label: str, cloud: Cloud, examples: int) -> None:
    """Ask so many requests of one operation that were made up.

    The plugin of schemathesis would do that, too, but it makes every start of pytest slower.
    """

    @given(requests_of(label))
    @settings(HOW, max_examples=examples)
    def ask(case: schemathesis.Case[Any]) -> None:
        response = case.call(base_url=cloud.url, headers={"X-Auth-Token": cloud.token})
        case.validate_response(response, checks=CHECKED)
        if case.operation.path.startswith(("/v2.0/tokens", "/_vifsim/amend")):
            cloud.reset()  # it may have ended the token

    ask()


@pytest.mark.parametrize("label", OPERATIONS)
def test_no_request_is_a_defect(label: str, fuzzed: Cloud) -> None:
    fuzz(label, fuzzed, examples=3)


@pytest.mark.long
@pytest.mark.parametrize("label", OPERATIONS)
def test_no_request_of_ten_thousand_is_a_defect(label: str, fuzzed: Cloud) -> None:
    fuzz(label, fuzzed, examples=150)
