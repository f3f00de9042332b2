"""What is said to PostgreSQL.

The house rule: a statement is a constant, so that each connection prepares it once.
"""

from __future__ import annotations

from vifsim.cloud import MAC_SPACE
from vifsim_backends.row_values import (
    INTERFACE_ORDER,
    INTERFACE_ROWS,
    NETWORK_COLUMNS,
    SERVER_COLUMNS,
    USER_COLUMNS,
)

_MOST_COUNTED = 10_000
"""Interfaces of a network up to which they are counted: quotas are smaller."""


def _list(columns: tuple[str, ...]) -> str:
    return ", ".join(columns)


def _upsert(table: str, columns: tuple[str, ...], key: str) -> str:
    places = _list(tuple(f"${place}" for place, _ in enumerate(columns, 1)))
    changed = _list(tuple(f"{name} = excluded.{name}" for name in columns if name != key))
    return f"""
INSERT INTO {table} ({_list(columns)}) VALUES ({places})
ON CONFLICT ({key}) DO UPDATE SET {changed}"""  # noqa: S608 -- our own names


# ── one by one ──

UPSERT_META = """
INSERT INTO meta (one, version, seed, settings) VALUES (1, 1, $1, $2)
ON CONFLICT (one) DO UPDATE SET
    version = meta.version + 1, seed = excluded.seed, settings = excluded.settings"""
SELECT_META = "SELECT version, seed, settings FROM meta"

SELECT_SEQUENCE = "SELECT number FROM sequences WHERE kind = $1"
SELECT_SEQUENCES = "SELECT kind, number FROM sequences WHERE number <> 0 ORDER BY kind"
UPSERT_SEQUENCE = _upsert("sequences", ("kind", "number"), "kind")

SELECT_TENANT = "SELECT id, quotas FROM tenants WHERE id = $1"
SELECT_TENANTS = "SELECT id, quotas FROM tenants ORDER BY place"
UPSERT_TENANT = _upsert("tenants", ("id", "quotas"), "id")

_USERS = f"SELECT {_list(USER_COLUMNS)} FROM users"  # noqa: S608 -- our own names
SELECT_USER = f"{_USERS} WHERE name = $1"
SELECT_USERS = f"{_USERS} ORDER BY place"
UPSERT_USER = _upsert("users", USER_COLUMNS, "name")

_TOKEN_COLUMNS = ("digest", "number", "user_name", "tenant", "expires", "revoked", "by")
_TOKENS = f"SELECT {_list(_TOKEN_COLUMNS)} FROM tokens"  # noqa: S608 -- our own names
SELECT_TOKEN = f"{_TOKENS} WHERE digest = $1"
SELECT_TOKENS = f"{_TOKENS} ORDER BY place"
SELECT_TOKENS_OF = f"{_TOKENS} WHERE user_name = $1 ORDER BY place"
UPSERT_TOKEN = _upsert("tokens", _TOKEN_COLUMNS, "digest")

_NETWORKS = f"SELECT {_list(NETWORK_COLUMNS)} FROM networks"  # noqa: S608 -- our own names
SELECT_NETWORK = f"{_NETWORKS} WHERE id = $1"
SELECT_NETWORKS = f"{_NETWORKS} WHERE tenant IS NOT NULL ORDER BY place"
SELECT_NETWORKS_OF = f"{_NETWORKS} WHERE tenant = $1 ORDER BY place"
INSERT_NETWORK = f"INSERT INTO networks ({_list(NETWORK_COLUMNS)}) VALUES ($1, $2, $3, $4)"  # noqa: S608 -- our own names
DELETE_NETWORK = "DELETE FROM networks WHERE id = $1"
COUNT_ON_NETWORK = """
SELECT count(*) FROM virtual_interfaces
WHERE network = (SELECT place FROM networks WHERE id = $1)"""

_SERVERS = f"SELECT {_list(SERVER_COLUMNS)} FROM servers"  # noqa: S608 -- our own names
SELECT_SERVER = f"{_SERVERS} WHERE id = $1"
SELECT_SERVERS = f"{_SERVERS} ORDER BY number"
SELECT_SERVERS_OF = f"{_SERVERS} WHERE tenant = $1 AND number < $2 ORDER BY number DESC LIMIT $3"
SELECT_SERVERS_NAMED = f"{_SERVERS} WHERE name = $1 ORDER BY number"
UPSERT_SERVER = _upsert("servers", SERVER_COLUMNS, "number")
COUNT_IN_USE = """
SELECT flavor_ref, count(*) FROM servers
WHERE tenant = $1 AND (gone_at IS NULL OR (gone_at > $2 AND NOT released)) GROUP BY flavor_ref"""
FIRST_DUE = "SELECT min(gone_at) FROM servers WHERE gone_at IS NOT NULL AND NOT released"
_DUE = "WHERE gone_at <= $1 AND gone_at IS NOT NULL AND NOT released"
SELECT_LEAVING = f"{_SERVERS} {_DUE} ORDER BY number"
RELEASE = f"UPDATE servers SET released = true {_DUE}"  # noqa: S608 -- our own names
FORGET_THE_OLDEST = """
DELETE FROM servers WHERE number IN (
    SELECT number FROM servers WHERE released ORDER BY gone_at DESC OFFSET $1
)"""
UPDATE_TOUCHED = "UPDATE servers SET touched = $1 WHERE id = $2"
SELECT_TOUCHED = "SELECT id, touched FROM servers WHERE touched IS NOT NULL AND id = ANY($1)"
SELECT_ALL_TOUCHED = "SELECT id, touched FROM servers WHERE touched IS NOT NULL ORDER BY number"

SELECT_INTERFACES = f"{INTERFACE_ROWS} {INTERFACE_ORDER}"
SELECT_INTERFACE = f"{INTERFACE_ROWS} WHERE vif.id = $1 AND servers.id = $2 {INTERFACE_ORDER}"
SELECT_INTERFACES_OF = f"{INTERFACE_ROWS} WHERE servers.id = $1 {INTERFACE_ORDER}"
INSERT_INTERFACE = """
WITH made AS (
    INSERT INTO virtual_interfaces (number, id, server, network, mac_address)
    VALUES (
        $1, $2, (SELECT number FROM servers WHERE id = $3),
        (SELECT place FROM networks WHERE id = $4), $5
    ) RETURNING number, network
)
INSERT INTO addresses (network, address, interface, place)
SELECT made.network, given.address, made.number, given.place
FROM made, unnest($6::text[]) WITH ORDINALITY AS given (address, place)"""
DELETE_INTERFACE = "DELETE FROM virtual_interfaces WHERE number = $1"
SELECT_ADDRESS = """
SELECT 1 FROM addresses
WHERE network = (SELECT place FROM networks WHERE id = $1) AND address = $2"""
SELECT_MAC = "SELECT 1 FROM virtual_interfaces WHERE mac_address = $1"

CLEAR = (
    "DELETE FROM addresses",
    "DELETE FROM virtual_interfaces",
    "DELETE FROM servers",
    "DELETE FROM networks WHERE tenant IS NOT NULL",
    "DELETE FROM tokens",
    "DELETE FROM users",
    "DELETE FROM tenants",
    "DELETE FROM sequences",
)

# ── all at once ──

IDENTIFY = """
SELECT tokens.digest, users.name, users.id, tokens.tenant, users.role
FROM tokens JOIN users ON users.name = tokens.user_name
WHERE tokens.digest = ANY($1) AND NOT tokens.revoked AND users.enabled
    AND (tokens.expires IS NULL OR tokens.expires > $2)
UNION ALL (SELECT NULL, NULL, version::text, published::text, NULL FROM meta)"""
"""Whom tokens speak for, and, in the row without a token, what holds."""

READ_AT_HAND = f"""
SELECT 'server', json_build_array({_list(SERVER_COLUMNS)}, touched)::text
FROM servers WHERE id = ANY($1::text[])
UNION ALL
SELECT 'interface', json_build_array(
    vif.number, vif.id, servers.id, networks.id, networks.label, vif.mac_address,
    (SELECT json_agg(address ORDER BY place) FROM addresses WHERE interface = vif.number)
)::text
FROM servers
JOIN virtual_interfaces AS vif ON vif.server = servers.number
JOIN networks ON networks.place = vif.network
WHERE servers.id = ANY($1)
UNION ALL
SELECT 'network', json_build_array({_list(NETWORK_COLUMNS)}, place, CASE
    WHEN tenant IS NOT NULL THEN (SELECT nullif(count(*), {_MOST_COUNTED}) FROM (
        SELECT 1 FROM virtual_interfaces WHERE network = networks.place LIMIT {_MOST_COUNTED}
    ) AS counted)
END)::text
FROM networks WHERE id = ANY($2::text[])
UNION ALL
SELECT 'tenant', json_build_array(id, quotas)::text FROM tenants WHERE id = ANY($3::text[])
UNION ALL
SELECT 'user', json_build_array({_list(USER_COLUMNS)})::text FROM users WHERE name = ANY($4::text[])
UNION ALL
SELECT 'sequence', json_build_array(kind, number)::text FROM sequences WHERE kind = ANY($5::text[])
UNION ALL
SELECT 'sequence', json_build_array(kind, number)::text FROM sequences
WHERE kind LIKE 'room:%' AND number <> 0
UNION ALL
SELECT 'usage', json_build_array(tenant, flavor_ref, count(*), false)::text
FROM servers WHERE tenant = ANY($6::text[]) AND gone_at IS NULL GROUP BY tenant, flavor_ref
UNION ALL
SELECT 'usage', json_build_array(tenant, '', 0, true)::text
FROM servers WHERE tenant = ANY($6) AND gone_at IS NOT NULL AND NOT released
UNION ALL
SELECT 'due', coalesce(to_json(min(gone_at))::text, 'null')
FROM servers WHERE gone_at IS NOT NULL AND NOT released
UNION ALL
SELECT 'address', json_build_array(networks.id, address)::text
FROM networks JOIN addresses ON addresses.network = networks.place
WHERE networks.id = ANY($7::text[])
UNION ALL
SELECT 'version', version::text FROM meta"""  # noqa: S608 -- our own names
"""Whatever operations on some servers and networks ask for, by kind, each row as JSON."""

ASK_NUMBERS = f"""
INSERT INTO sequences (kind, number) SELECT * FROM unnest($1::text[], $2::bigint[])
WHERE NOT EXISTS (
    SELECT FROM addresses JOIN unnest($3::bigint[], $4::text[]) AS new (network, address)
    USING (network, address)
) AND NOT EXISTS (SELECT FROM virtual_interfaces WHERE mac_address = ANY($5::text[]))
ON CONFLICT (kind) DO UPDATE SET number = (sequences.number + excluded.number)
    % CASE sequences.kind WHEN 'mac' THEN {MAC_SPACE} ELSE 1::bigint << 62 END
RETURNING kind, number"""  # noqa: S608 -- our own number
"""Takes numbers, unless the addresses and MACs that they are for are in use already."""

WRITE_AT_HAND = """
WITH made AS (
    INSERT INTO virtual_interfaces (number, id, server, network, mac_address)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[])
), held AS (
    INSERT INTO addresses (network, address, interface, place)
    SELECT * FROM unnest($6::bigint[], $7::text[], $8::bigint[], $9::integer[])
), changed AS (
    UPDATE servers SET touched = given.at
    FROM unnest($10::text[], $11::double precision[]) AS given (id, at)
    WHERE servers.id = given.id
), gone AS (
    DELETE FROM virtual_interfaces WHERE number = ANY($14::bigint[])
)
INSERT INTO sequences (kind, number) SELECT * FROM unnest($12::text[], $13::bigint[])
ON CONFLICT (kind) DO UPDATE SET number = excluded.number"""
DELETE_INTERFACES = "DELETE FROM virtual_interfaces WHERE number = ANY($1)"
