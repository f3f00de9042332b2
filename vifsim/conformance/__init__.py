"""The suite that judges a backend, ours and anybody else's.

A backend passes when a subclass that gives `make_backend` passes:

```python
class TestMyBackend(BackendConformance):
    def make_backend(self, tmp_path: Path, clock: Clock) -> Backend:
        return MyBackend(f"mine://{tmp_path}/cloud", clock=clock)
```

It needs pytest, and pytest-asyncio in its auto mode. Time is a manual clock, so nothing waits.

The house rule: only the interface is asked; what a test expects follows from the API contract and
holds for every backend.

Source: API contract, sections 1.5 and 3 to 6 (docs/api.md).
"""

from __future__ import annotations

from vifsim.conformance.given import (
    ADMIN_TOKEN,
    ALPHA,
    API_KEY,
    BETA,
    BLUE,
    DAY,
    FAR,
    HOUR,
    NOWHERE,
    ONE,
    PASSWORD,
    RED,
    SIX,
    THREE,
    TINY,
    TWO,
    a_call,
    amend,
    attach,
    attached,
    boot,
    check_portable,
    contents,
    detach,
    listed,
    log_in,
    look_at,
    on_server,
    world,
)
from vifsim.conformance.identity import IdentityRules
from vifsim.conformance.interfaces import InterfaceRules
from vifsim.conformance.networks import NetworkRules
from vifsim.conformance.refusals import RefusalRules
from vifsim.conformance.servers import ServerRules
from vifsim.conformance.whole import WholeRules

__all__ = [
    "ADMIN_TOKEN",
    "ALPHA",
    "API_KEY",
    "BETA",
    "BLUE",
    "DAY",
    "FAR",
    "HOUR",
    "NOWHERE",
    "ONE",
    "PASSWORD",
    "RED",
    "SIX",
    "THREE",
    "TINY",
    "TWO",
    "BackendConformance",
    "a_call",
    "amend",
    "attach",
    "attached",
    "boot",
    "check_portable",
    "contents",
    "detach",
    "listed",
    "log_in",
    "look_at",
    "on_server",
    "world",
]


class BackendConformance(
    InterfaceRules, NetworkRules, ServerRules, IdentityRules, RefusalRules, WholeRules
):
    """What every backend must do; a subclass says how one is made."""
