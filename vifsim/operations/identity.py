"""Who calls and what a tenant may: log-in, tokens, tenants, limits.

The house rule: only digests of secrets are stored, and they are compared in constant time.

Source: API contract, section 6 (docs/api.md).
"""

from __future__ import annotations

from dataclasses import replace
from hmac import compare_digest
from typing import TYPE_CHECKING

from vifsim.draws import secret_digest, token_digest, token_text
from vifsim.errors import Forbidden, ItemNotFound, Unauthorized, UserDisabled
from vifsim.model import Access, Credentials, Limits, Tenant, TenantId, Token, Usage, User
from vifsim.operations.finding import quotas_of
from vifsim.rows import Numbers, Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vifsim.exchange import Call

_LAST_HOUR = 3600.0
_BAD_CREDENTIALS = "Unable to authenticate user with credentials provided."


def _alive(token: Token, now: float) -> bool:
    return not token.revoked and (token.expires is None or token.expires > now)


async def authenticate(rows: Rows, call: Call, credentials: Credentials) -> Access:
    """See `Backend.authenticate`."""
    now = rows.clock.epoch()
    user, by = await _who(rows, credentials, now)
    if not user.enabled:
        raise UserDisabled(f"User {user.name} is disabled")
    if credentials.tenant not in {None, user.tenant}:
        raise Unauthorized(_BAD_CREDENTIALS)
    if rows.settings.reissue == "last_hour":
        for token in await rows.tokens(user.name):
            if _reusable(token, now):
                return _access(rows, token, user)
    return await _new_token(rows, call, user, by, now)


def _reusable(token: Token, now: float) -> bool:
    return (
        token.number is not None
        and _alive(token, now)
        and token.expires is not None
        and token.expires - now > _LAST_HOUR
    )


async def _who(rows: Rows, credentials: Credentials, now: float) -> tuple[User, str]:
    if credentials.token is not None:
        token = await rows.token(token_digest(credentials.token))
        user = None if token is None else await rows.user(token.user)
        if token is None or user is None or not _alive(token, now):
            raise Unauthorized(_BAD_CREDENTIALS)
        return user, token.by
    user = await rows.user(credentials.username or "")
    if user is None:
        raise Unauthorized(_BAD_CREDENTIALS)
    if credentials.api_key is not None:
        given, kept, by = credentials.api_key, user.api_key, "APIKEY"
    else:
        given, kept, by = credentials.password or "", user.password, "PASSWORD"
    if kept is None or not compare_digest(secret_digest(given), kept):
        raise Unauthorized(_BAD_CREDENTIALS)
    return user, by


async def _new_token(rows: Rows, call: Call, user: User, by: str, now: float) -> Access:
    numbers = Numbers(rows)
    number = await numbers.take("token")
    token = Token(
        digest=token_digest(token_text(rows.seed, number)),
        number=number,
        user=user.name,
        tenant=user.tenant,
        expires=now + rows.settings.token_lifetime,
        by=by,
    )
    await rows.put_token(token)
    await numbers.keep()
    rows.note(call, "created", token)
    return _access(rows, token, user)


def _access(rows: Rows, token: Token, user: User) -> Access:
    text = "" if token.number is None else token_text(rows.seed, token.number)
    return Access(text=text, token=token, user=user)


async def find_token(rows: Rows, call: Call, text: str, belongs_to: str | None = None) -> Access:
    """See `Backend.validate_token`."""
    token = await rows.token(token_digest(text))
    if token is None or not _alive(token, rows.clock.epoch()):
        raise ItemNotFound("Token not found")
    if belongs_to not in {None, token.tenant}:
        raise ItemNotFound("Token not found")
    user = await rows.user(token.user)
    if user is None:
        raise ItemNotFound("Token not found")
    if token.user != call.user and not await _may_see(rows, call, token):
        raise Forbidden("Only an admin may look at another user's token")
    return Access(text=text, token=token, user=user)


async def _may_see(rows: Rows, call: Call, token: Token) -> bool:
    caller = await rows.user(call.user or "")
    return caller is not None and caller.role == "admin" and caller.tenant == token.tenant


async def revoke_token(rows: Rows, call: Call, text: str | None) -> None:
    """See `Backend.revoke_token`."""
    if text is None:
        token = await rows.token(call.token_id or "")
    else:
        token = (await find_token(rows, call, text)).token
    if token is not None:
        await rows.put_token(replace(token, revoked=True))
        rows.note(call, "deleted", token)


async def expire_token(rows: Rows, token_id: str) -> None:
    """See `Backend.expire_token`."""
    token = await rows.token(token_id)
    if token is not None:
        await rows.put_token(replace(token, revoked=True))


async def list_tenants(rows: Rows, call: Call) -> Sequence[Tenant]:
    """See `Backend.list_tenants`."""
    tenant = await rows.tenant(TenantId(call.tenant or ""))
    return [] if tenant is None else [tenant]


async def get_limits(rows: Rows, call: Call) -> Limits:
    """See `Backend.get_limits`."""
    tenant = TenantId(call.tenant or "")
    instances, ram = await rows.usage(tenant, rows.clock.epoch())
    return Limits(
        usage=Usage(
            quotas=await quotas_of(rows, tenant),
            instances=instances,
            ram=ram,
            networks=len(await rows.networks(tenant)),
        )
    )
