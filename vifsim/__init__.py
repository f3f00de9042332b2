"""A simulator of the Rackspace Cloud Networks virtual interface API, with faults that repeat.

```python
from vifsim import Simulator

with Simulator(scenario="flaky-create") as vifsim:
    ...  # point a client at vifsim.url, with vifsim.token
```
"""

from vifsim.errors import UsageError
from vifsim.facade import Cloud
from vifsim.simulator import SIMULATOR, Simulator, create_app
from vifsim.version import __version__

__all__ = ["SIMULATOR", "Cloud", "Simulator", "UsageError", "__version__", "create_app"]
