"""The tables of a PostgreSQL store, and bringing a database to them.

The house rule: every process that starts holds one lock while it looks and migrates, so that any
number of them may start at once, also on an empty database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vifsim.errors import BackendError

if TYPE_CHECKING:
    import asyncpg

_LOCK = 0x76696673
"""The advisory lock of all that migrate: "vifs"."""

_SCHEMA_1 = """
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version BIGINT NOT NULL,
    seed TEXT NOT NULL,
    settings TEXT NOT NULL,
    scenario TEXT
);
CREATE TABLE sequences (
    kind TEXT PRIMARY KEY,
    number BIGINT NOT NULL
);
CREATE TABLE tenants (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    quotas TEXT NOT NULL
);
CREATE TABLE users (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    id TEXT NOT NULL,
    tenant TEXT NOT NULL REFERENCES tenants (id),
    role TEXT NOT NULL CHECK (role IN ('observer', 'creator', 'admin')),
    enabled BOOLEAN NOT NULL,
    password TEXT,
    api_key TEXT,
    token TEXT
);
CREATE TABLE tokens (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    number BIGINT UNIQUE,
    user_name TEXT NOT NULL REFERENCES users (name),
    tenant TEXT NOT NULL REFERENCES tenants (id),
    expires DOUBLE PRECISION,
    revoked BOOLEAN NOT NULL,
    by TEXT NOT NULL
);
CREATE INDEX tokens_by_user ON tokens (user_name);
CREATE TABLE networks (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL,
    cidr TEXT,
    tenant TEXT REFERENCES tenants (id),
    CHECK ((tenant IS NULL) = (id IN (
        '00000000-0000-0000-0000-000000000000', '11111111-1111-1111-1111-111111111111'
    )))
);
CREATE INDEX networks_by_tenant ON networks (tenant);
INSERT INTO networks (id, label) VALUES
    ('00000000-0000-0000-0000-000000000000', 'public'),
    ('11111111-1111-1111-1111-111111111111', 'private');
CREATE TABLE servers (
    number BIGINT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    image_ref TEXT NOT NULL,
    flavor_ref TEXT NOT NULL,
    user_id TEXT NOT NULL,
    status TEXT NOT NULL,
    task_state TEXT,
    created DOUBLE PRECISION NOT NULL,
    updated DOUBLE PRECISION NOT NULL,
    active_at DOUBLE PRECISION,
    gone_at DOUBLE PRECISION,
    access_ipv4 TEXT NOT NULL,
    access_ipv6 TEXT NOT NULL,
    disk_config TEXT NOT NULL,
    config_drive TEXT NOT NULL,
    key_name TEXT,
    locked BOOLEAN NOT NULL,
    metadata TEXT NOT NULL,
    fault TEXT,
    touched DOUBLE PRECISION,
    released BOOLEAN NOT NULL DEFAULT false
);
CREATE INDEX servers_by_tenant ON servers (tenant, number);
CREATE INDEX servers_by_name ON servers USING hash (name);
CREATE INDEX servers_in_use ON servers (tenant, flavor_ref) WHERE gone_at IS NULL;
CREATE INDEX servers_leaving ON servers (gone_at) WHERE gone_at IS NOT NULL AND NOT released;
CREATE INDEX servers_gone ON servers (gone_at) WHERE released;
CREATE TABLE virtual_interfaces (
    number BIGINT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    server BIGINT NOT NULL REFERENCES servers (number),
    network BIGINT NOT NULL REFERENCES networks (place),
    mac_address TEXT NOT NULL UNIQUE,
    CONSTRAINT one_per_server_and_network UNIQUE (server, network)
);
CREATE INDEX virtual_interfaces_by_network ON virtual_interfaces (network);
CREATE TABLE addresses (
    network BIGINT NOT NULL,
    address TEXT NOT NULL,
    interface BIGINT NOT NULL REFERENCES virtual_interfaces (number) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    PRIMARY KEY (network, address),
    UNIQUE (interface, place)
);
"""

_SCHEMA_2 = """
ALTER TABLE meta
    ADD COLUMN published BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN start DOUBLE PRECISION;
CREATE INDEX rooms ON sequences (kind) WHERE number <> 0 AND kind LIKE 'room:%';
CREATE SEQUENCE processes;
CREATE TABLE arrivals (
    call TEXT PRIMARY KEY,
    n BIGINT NOT NULL
);
CREATE TABLE rule_counts (
    rule TEXT NOT NULL,
    key TEXT NOT NULL,
    counted TEXT NOT NULL,
    PRIMARY KEY (rule, key)
);
CREATE TABLE journal_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    run BIGINT NOT NULL,
    last BIGINT NOT NULL,
    cleared BIGINT NOT NULL,
    dropped BIGINT NOT NULL
);
INSERT INTO journal_head VALUES (1, 1, 0, 0, 0);
CREATE TABLE journal (
    seq BIGINT PRIMARY KEY,
    process TEXT NOT NULL,
    entry TEXT NOT NULL,
    looks TEXT NOT NULL
);
"""
"""What the processes share beside the cloud.

In `rule_counts` the empty key holds what a rule counts for all calls, `=KEY` that under one key.
"""

MIGRATIONS: tuple[str, ...] = (_SCHEMA_1, _SCHEMA_2)
"""What makes each schema from the one before; the first from an empty database."""


async def migrate(connection: asyncpg.Connection) -> None:
    """Bring the database to this version's schema, within a transaction that is open already.

    The lock goes with the transaction, so what the caller does next in it has no company either.

    Raises:
        BackendError: the tables are a newer version's, or another program's.
    """
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    await _make_schema(connection)
    version = await _version(connection)
    if version > len(MIGRATIONS):
        raise BackendError(
            f"the database was written by a newer vifsim (schema {version}); upgrade vifsim"
        )
    for number in range(version, len(MIGRATIONS)):
        await connection.execute(MIGRATIONS[number])
    await connection.execute("DELETE FROM vifsim_schema")
    await connection.execute("INSERT INTO vifsim_schema VALUES ($1)", len(MIGRATIONS))


async def _make_schema(connection: asyncpg.Connection) -> None:
    """Make the schema that the URL's `search_path` names, where it is missing."""
    if await connection.fetchval("SELECT current_schema()") is not None:
        return
    path = await connection.fetchval("SHOW search_path")
    name = path.split(",")[0].strip().strip('"').replace('"', '""')
    await connection.execute(f'CREATE SCHEMA "{name}"')


async def _version(connection: asyncpg.Connection) -> int:
    if await connection.fetchval("SELECT to_regclass('vifsim_schema')") is None:
        if await connection.fetchval("SELECT to_regclass('meta')") is not None:
            raise BackendError(
                "the database holds tables of another program (use another database, or give"
                " the URL a schema: ?search_path=vifsim)"
            )
        await connection.execute("CREATE TABLE vifsim_schema (version INTEGER NOT NULL)")
    return await connection.fetchval("SELECT max(version) FROM vifsim_schema") or 0
