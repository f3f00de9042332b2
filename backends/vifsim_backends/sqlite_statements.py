"""What is said to SQLite.

The house rule: a statement is a constant, so that its connection prepares it once.
"""

from __future__ import annotations

from vifsim_backends.row_values import (
    INTERFACE_ORDER,
    INTERFACE_ROWS,
    NETWORK_COLUMNS,
    SERVER_COLUMNS,
    USER_COLUMNS,
)

TOKEN_COLUMNS = ("digest", "number", "user", "tenant", "expires", "revoked", "by")


def select(table: str, columns: tuple[str, ...]) -> str:
    """Return the statement that reads columns of all rows."""
    return f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 -- our own names


def insert(table: str, columns: tuple[str, ...]) -> str:
    """Return the statement that adds a row."""
    places = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 -- likewise


def _upsert(table: str, columns: tuple[str, ...], key: str) -> str:
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns if name != key)
    return f"{insert(table, columns)} ON CONFLICT ({key}) DO UPDATE SET {changed}"


SELECT_SEQUENCE = "SELECT number FROM sequences WHERE kind = ?"
SELECT_SEQUENCES = "SELECT kind, number FROM sequences WHERE number ORDER BY kind"
UPSERT_SEQUENCE = _upsert("sequences", ("kind", "number"), "kind")

SELECT_TENANT = "SELECT id, quotas FROM tenants WHERE id = ?"
SELECT_TENANTS = "SELECT id, quotas FROM tenants ORDER BY place"
UPSERT_TENANT = _upsert("tenants", ("id", "quotas"), "id")

_USERS = select("users", USER_COLUMNS)
SELECT_USER = f"{_USERS} WHERE name = ?"
SELECT_USERS = f"{_USERS} ORDER BY place"
UPSERT_USER = _upsert("users", USER_COLUMNS, "name")

_TOKENS = select("tokens", TOKEN_COLUMNS)
SELECT_TOKEN = f"{_TOKENS} WHERE digest = ?"
SELECT_TOKENS = f"{_TOKENS} ORDER BY place"
SELECT_TOKENS_OF = f"{_TOKENS} WHERE user = ? ORDER BY place"
UPSERT_TOKEN = _upsert("tokens", TOKEN_COLUMNS, "digest")

_NETWORKS = select("networks", NETWORK_COLUMNS)
SELECT_NETWORK = f"{_NETWORKS} WHERE id = ?"
SELECT_NETWORKS = f"{_NETWORKS} WHERE tenant IS NOT NULL ORDER BY place"
SELECT_NETWORKS_OF = f"{_NETWORKS} WHERE tenant = ? ORDER BY place"
INSERT_NETWORK = insert("networks", NETWORK_COLUMNS)
DELETE_NETWORK = "DELETE FROM networks WHERE id = ?"
SELECT_PLACE = "SELECT place FROM networks WHERE id = ?"

_SERVERS = select("servers", SERVER_COLUMNS)
SELECT_SERVER = f"{_SERVERS} WHERE id = ?"
SELECT_SERVERS = f"{_SERVERS} ORDER BY number"
SELECT_SERVERS_OF = f"{_SERVERS} WHERE tenant = ? AND number < ? ORDER BY number DESC LIMIT ?"
SELECT_SERVER_NAMES = """
SELECT name, id FROM servers
WHERE status <> 'DELETED' AND (gone_at IS NULL OR gone_at > ?) ORDER BY number"""
SELECT_SERVERS_NAMED = f"{_SERVERS} WHERE name = ? ORDER BY number"
_LAST_ATTACHED = "(SELECT max(at) FROM virtual_interfaces WHERE server = servers.number)"
SELECT_TOUCHED_SERVER = f"""
{select("servers", (*SERVER_COLUMNS, "at", f"{_LAST_ATTACHED} AS attached"))}
LEFT JOIN touches ON server = number WHERE id = ?"""
SELECT_SERVER_NUMBER = "SELECT number FROM servers WHERE id = ?"
UPSERT_SERVER = _upsert("servers", SERVER_COLUMNS, "number")
COUNT_IN_USE = """
SELECT flavor_ref, count(*) FROM servers
WHERE tenant = ? AND gone_at IS NULL GROUP BY flavor_ref
UNION ALL SELECT flavor_ref, count(*) FROM servers
WHERE gone_at > ? AND gone_at IS NOT NULL AND released = 0 AND tenant = ? GROUP BY flavor_ref"""

TOUCH = _upsert("touches", ("server", "at"), "server")


def _touched(of: str) -> str:
    return f"""
SELECT id, max(at) FROM (
    SELECT number, id, at FROM servers JOIN touches ON server = number WHERE {of}
    UNION ALL SELECT servers.number, servers.id, at
    FROM servers JOIN virtual_interfaces ON server = servers.number
    WHERE at IS NOT NULL AND servers.{of}
) GROUP BY number ORDER BY number"""  # noqa: S608 -- ours


SELECT_TOUCHES = _touched("id IN (SELECT value FROM json_each(?1))")
SELECT_ALL_TOUCHES = _touched("id IS NOT NULL")

FIRST_DUE = "SELECT min(gone_at) FROM servers WHERE gone_at IS NOT NULL AND released = 0"
_LEAVING = "WHERE gone_at <= ? AND gone_at IS NOT NULL AND released = 0"
SELECT_LEAVING = f"{_SERVERS} {_LEAVING} ORDER BY number"
RELEASE = f"UPDATE servers SET released = 1 {_LEAVING}"  # noqa: S608 -- likewise
FORGET_THE_OLDEST = """
DELETE FROM servers WHERE number IN (
    SELECT number FROM servers WHERE released = 1 ORDER BY gone_at DESC LIMIT -1 OFFSET ?
)"""

SELECT_INTERFACE = f"{INTERFACE_ROWS} WHERE servers.id = ? AND vif.id = ? {INTERFACE_ORDER}"
SELECT_INTERFACES = f"{INTERFACE_ROWS} {INTERFACE_ORDER}"
SELECT_INTERFACES_OF = f"{INTERFACE_ROWS} WHERE servers.id = ? {INTERFACE_ORDER}"
INTERFACE_COLUMNS = ("number", "id", "server", "network", "mac_address", "at")
INSERT_INTERFACE = insert("virtual_interfaces", INTERFACE_COLUMNS)
DELETE_INTERFACE = "DELETE FROM virtual_interfaces WHERE number = ?"
SELECT_MAC = "SELECT 1 FROM virtual_interfaces WHERE mac_address = ?"
COUNT_ON_NETWORK = """
SELECT count(*) FROM virtual_interfaces
WHERE network = (SELECT place FROM networks WHERE id = ?)"""

ADDRESS_COLUMNS = ("interface", "place", "network", "address")
INSERT_ADDRESS = insert("addresses", ADDRESS_COLUMNS)
SELECT_ADDRESS = "SELECT 1 FROM addresses WHERE network = ? AND address = ?"
SELECT_EITHER = f"{SELECT_MAC} UNION ALL {SELECT_ADDRESS}"

SELECT_META = "SELECT settings, seed FROM meta"
INSERT_META = "INSERT INTO meta (one, seed, settings) VALUES (1, '0', '{}')"
UPDATE_META = "UPDATE meta SET settings = ?, seed = ?"
SELECT_SCENARIO = "SELECT scenario FROM meta"
UPDATE_SCENARIO = "UPDATE meta SET scenario = ?"

CLEAR = (
    "DELETE FROM addresses",
    "DELETE FROM virtual_interfaces",
    "DELETE FROM touches",
    "DELETE FROM servers",
    "DELETE FROM networks WHERE tenant IS NOT NULL",
    "DELETE FROM tokens",
    "DELETE FROM users",
    "DELETE FROM tenants",
    "DELETE FROM sequences",
    "DELETE FROM meta",
)
