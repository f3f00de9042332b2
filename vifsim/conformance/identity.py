"""Who gets in, and with what: log-ins, tokens, tenants.

The house rule: one test, one rule of the API contract (docs/api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vifsim.conformance.given import (
    ADMIN_TOKEN,
    ALPHA,
    API_KEY,
    BETA,
    DAY,
    HOUR,
    NOWHERE,
    PASSWORD,
    a_call,
    amend,
    log_in,
)
from vifsim.conformance.judged import Judged
from vifsim.errors import (
    Forbidden,
    ItemNotFound,
    Unauthorized,
    UserDisabled,
)
from vifsim.model import (
    Credentials,
    Settings,
)

if TYPE_CHECKING:
    from vifsim.backend import Backend
    from vifsim.clock import SimClock


class IdentityRules(Judged):
    """Who gets in, and with what: log-ins, tokens, tenants."""

    async def test_a_log_in_gives_a_token_that_speaks_for_the_user(self, backend: Backend) -> None:
        by_key = await log_in(backend, "alpha-observer")
        by_password = await log_in(backend, "beta-admin", password=PASSWORD)

        who = await backend.identify(by_key.text)
        assert who is not None
        assert (who.user, who.tenant, who.role) == ("alpha-observer", ALPHA, "observer")
        assert who.token_id == by_key.token.digest
        assert (by_key.token.by, by_password.token.by) == ("APIKEY", "PASSWORD")

    async def test_a_token_of_the_world_works_at_once_and_for_ever(
        self, backend: Backend, clock: SimClock
    ) -> None:
        await clock.advance(365 * DAY)

        who = await backend.identify(ADMIN_TOKEN)

        assert who is not None
        assert who.user == "alpha-admin"

    @pytest.mark.parametrize(
        "credentials",
        [
            Credentials(username="nobody", api_key=API_KEY),
            Credentials(username="alpha-admin", api_key="wrong"),
            Credentials(username="alpha-admin", password=API_KEY),
            Credentials(username="alpha-admin", api_key=API_KEY, tenant=BETA),
            Credentials(token=NOWHERE),
        ],
        ids=["user", "key", "password", "tenant", "token"],
    )
    async def test_wrong_credentials_are_unauthorized(
        self, backend: Backend, credentials: Credentials
    ) -> None:
        with pytest.raises(Unauthorized):
            await backend.authenticate(a_call(), credentials)

    async def test_a_token_logs_in_too(self, backend: Backend) -> None:
        first = await log_in(backend)

        second = await backend.authenticate(a_call(), Credentials(token=first.text, tenant=ALPHA))

        assert second.text == first.text

    async def test_a_living_token_is_given_again_until_its_last_hour(
        self, backend: Backend, clock: SimClock
    ) -> None:
        first = await log_in(backend)
        await clock.advance(DAY - HOUR - 1)
        again = await log_in(backend)
        await clock.advance(1)
        new = await log_in(backend)

        assert again.text == first.text
        assert new.text != first.text
        assert await backend.identify(first.text) is not None

    async def test_every_log_in_gives_a_new_token_where_the_settings_say_so(
        self, backend: Backend
    ) -> None:
        await backend.configure(Settings(reissue="always"))

        assert (await log_in(backend)).text != (await log_in(backend)).text

    async def test_a_token_expires_after_24_hours(self, backend: Backend, clock: SimClock) -> None:
        access = await log_in(backend)
        await clock.advance(DAY - 1)
        alive = await backend.identify(access.text)
        await clock.advance(1)

        assert alive is not None
        assert await backend.identify(access.text) is None
        with pytest.raises(ItemNotFound):
            await backend.validate_token(a_call(), access.text, None)
        with pytest.raises(Unauthorized):
            await backend.authenticate(a_call(), Credentials(token=access.text))

    async def test_a_token_is_validated_for_its_user_and_for_an_admin(
        self, backend: Backend
    ) -> None:
        access = await log_in(backend, "alpha-observer")
        own, admin, other = a_call(user="alpha-observer"), a_call(), a_call(BETA)

        assert (await backend.validate_token(own, access.text, None)).user.name == "alpha-observer"
        assert (await backend.validate_token(admin, access.text, ALPHA)).token == access.token
        assert (await backend.list_endpoints(admin, access.text)).token == access.token
        with pytest.raises(ItemNotFound):
            await backend.validate_token(admin, access.text, BETA)
        with pytest.raises(Forbidden):
            await backend.validate_token(other, access.text, None)
        with pytest.raises(ItemNotFound):
            await backend.list_endpoints(admin, "unknown")

    async def test_an_observer_may_not_look_at_the_tokens_of_others(self, backend: Backend) -> None:
        observer = a_call(user="alpha-observer")

        with pytest.raises(Forbidden):
            await backend.validate_token(observer, ADMIN_TOKEN, None)
        with pytest.raises(Forbidden):
            await backend.revoke_token(observer, ADMIN_TOKEN)

    async def test_a_revoked_token_is_no_token(self, backend: Backend) -> None:
        access = await log_in(backend)
        call = a_call()

        await backend.revoke_token(call, access.text)

        assert await backend.identify(access.text) is None
        assert [effect.kind for effect in call.outcome.effects] == ["deleted"]
        assert (await log_in(backend)).text != access.text
        with pytest.raises(ItemNotFound):
            await backend.revoke_token(a_call(), access.text)

    async def test_a_caller_revokes_its_own_token(self, backend: Backend) -> None:
        access = await log_in(backend)

        await backend.revoke_token(a_call(token_id=access.token.digest), None)

        assert await backend.identify(access.text) is None

    async def test_a_token_is_ended_by_its_digest(self, backend: Backend) -> None:
        access = await log_in(backend)

        await backend.expire_token(access.token.digest)
        await backend.expire_token("of nothing")

        assert await backend.identify(access.text) is None

    async def test_a_disabled_user_is_shut_out_until_enabled(self, backend: Backend) -> None:
        access = await log_in(backend)
        await amend(backend, "disable_user", user="alpha-admin")

        with pytest.raises(UserDisabled):
            await log_in(backend)
        shut_out = await backend.identify(access.text)
        await amend(backend, "enable_user", user="alpha-admin")

        assert shut_out is None
        assert await backend.identify(access.text) is not None

    async def test_tokens_are_revoked_by_hand_for_one_user_or_all(self, backend: Backend) -> None:
        ours, theirs = await log_in(backend), await log_in(backend, "beta-admin")

        await amend(backend, "revoke_all_tokens", user="alpha-admin")
        spared = await backend.identify(theirs.text)
        await amend(backend, "revoke_all_tokens")

        assert spared is not None
        for text in (ours.text, ADMIN_TOKEN, theirs.text):
            assert await backend.identify(text) is None

    async def test_a_caller_sees_its_own_tenant(self, backend: Backend) -> None:
        assert [tenant.id for tenant in await backend.list_tenants(a_call(BETA))] == [BETA]
