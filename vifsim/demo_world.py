"""The world of every simulator that is not told otherwise, as values.

The house rule: this reads the demo world's own document and no other, so it needs no schema, which
takes longer to import than a cloud to start; `tests/scenario/test_schema_world.py` holds the two
together.
"""

from __future__ import annotations

from functools import cache

from vifsim.draws import secret_digest, token_digest
from vifsim.model import (
    DEMO_DOCUMENT,
    PUBLIC,
    SERVICE,
    SeedNetwork,
    SeedServer,
    Tenant,
    User,
    World,
)

FIRST_USER = 10_000
"""The id of a world's first user; the others count on from it."""


@cache
def demo_world(seed: int) -> World:
    """Return the demo world with a seed."""
    (tenant,) = DEMO_DOCUMENT["tenants"]
    return World(
        seed=seed,
        tenants=(Tenant(id=tenant["id"]),),
        users=tuple(
            User(
                id=str(FIRST_USER + index),
                name=user["name"],
                tenant=tenant["id"],
                role=user["role"],
                enabled=True,
                password=secret_digest(user["password"]),
                api_key=secret_digest(user["api_key"]),
                token=token_digest(user["token"]) if "token" in user else None,
            )
            for index, user in enumerate(tenant["users"])
        ),
        networks=tuple(SeedNetwork(**network) for network in DEMO_DOCUMENT["networks"]),
        servers=tuple(
            SeedServer(**server, networks=(PUBLIC, SERVICE)) for server in DEMO_DOCUMENT["servers"]
        ),
    )
