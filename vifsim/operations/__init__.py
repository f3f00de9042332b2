"""The operations of the cloud, written once over the few things that a store must be able to do.

A store gives `Rows`; what a cloud does with them stands here and in `cloud`. An operation awaits
its rows, so that a store in the process never suspends, one on a thread is driven there without a
loop, and one behind a connection really waits.

The house rule: an operation checks everything before it writes anything.
"""

from vifsim.operations.finding import names
from vifsim.operations.identity import (
    authenticate,
    expire_token,
    find_token,
    get_limits,
    list_tenants,
    revoke_token,
)
from vifsim.operations.interfaces import attach, detach, list_interfaces
from vifsim.operations.networks import create_network, delete_network, get_network, list_networks
from vifsim.operations.servers import create_server, delete_server, get_server, list_servers

__all__ = [
    "attach",
    "authenticate",
    "create_network",
    "create_server",
    "delete_network",
    "delete_server",
    "detach",
    "expire_token",
    "find_token",
    "get_limits",
    "get_network",
    "get_server",
    "list_interfaces",
    "list_networks",
    "list_servers",
    "list_tenants",
    "names",
    "revoke_token",
]
