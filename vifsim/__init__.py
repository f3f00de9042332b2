"""A simulator of the Rackspace Cloud Networks virtual interface API, with faults that repeat.

```python
from vifsim import Simulator

with Simulator(scenario="flaky-create") as vifsim:
    ...  # point a client at vifsim.url, with vifsim.token
```

The house rule: a name is imported when it is asked for; the pytest plugin is loaded in every run of
pytest, also where no test wants a cloud.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vifsim.errors import UsageError
    from vifsim.facade import Cloud
    from vifsim.simulator import SIMULATOR, Simulator, create_app
    from vifsim.version import __version__

__all__ = ["SIMULATOR", "Cloud", "Simulator", "UsageError", "__version__", "create_app"]

_HOMES = {
    "SIMULATOR": "simulator",
    "Cloud": "facade",
    "Simulator": "simulator",
    "UsageError": "errors",
    "__version__": "version",
    "create_app": "simulator",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"vifsim.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
