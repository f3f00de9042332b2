"""The values of a request's life: what was asked, decided, done and told.

The house rule: a `Call` is frozen; its `outcome` is the one mutable thing in a request, and each
of its slots is written once, by the layer that knows: the decision by `faults`, the effects by the
store at its commit, the answer and the end by `edge`.
"""

from __future__ import annotations

from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from vifsim.values import frozen, slotted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vifsim.errors import ApiFault

Ending = Literal["completed", "client_gone", "server_cut"]


@frozen(kw_only=False)
class WireReset:
    """A TCP RST."""

    kind = "reset"


@frozen(kw_only=False)
class WireClose:
    """A FIN without an answer."""

    kind = "close"


@frozen(kw_only=False)
class WireHang:
    """Silence, which is over by the time that the edge learns of it, then a FIN."""

    kind = "hang"


@frozen(kw_only=False)
class WireMidBody:
    """The headers with the whole length, half of the body, then a FIN."""

    kind = "close"


@frozen(kw_only=False)
class WireDrip:
    """The body slowly: at `rate` bytes a second, or in `chunks` pieces over `over` seconds."""

    rate: float | None = None
    chunks: int = 0
    over: float = 0.0
    kind = "drip"


@frozen(kw_only=False)
class WireTruncate:
    """A share of the body (0..1) or a number of its bytes, then a FIN."""

    share: float | None = None
    size_bytes: int | None = None
    kind = "truncate"


@frozen(kw_only=False)
class WireCorrupt:
    """A whole answer that does not hold what it should; fields as in `scenario.rule.Corrupt`."""

    form: Literal["not_json", "cut_json", "html", "empty_list", "drop", "set", "content_length"]
    path: tuple[str | int, ...] = ()
    value: Any = None
    surplus: int = 0
    kind = "corrupt"


@frozen(kw_only=False)
class WireKeepaliveCut:
    """A whole answer, then a FIN that nothing announced."""

    kind = "keepalive_cut"


WireEffect = (
    WireReset
    | WireClose
    | WireHang
    | WireMidBody
    | WireDrip
    | WireTruncate
    | WireCorrupt
    | WireKeepaliveCut
)


@frozen(kw_only=False)
class Redelivery:
    """A call is delivered `times` times, `gap` seconds apart; one answer is passed on."""

    times: int
    gap: float
    answer: Literal["first", "last"]


@frozen
class Decision:
    """What the scenario does to one call.

    Attributes:
        fired: ids of the rules that fired, in order; the last one decided where `by` names it.
        by: the rule that decided, or None where only latency fired.
        at: whether the fault comes before the effect or after the commit.
        delay_before, delay_after: seconds, before and after the effect.
        fault: the refusal to answer with, or None.
        wire: what happens to the bytes, or None.
        hang: seconds of silence before the end, None for ever; counts where `wire` is a hang.
        expire_token: whether the token of the call dies.
        stale: seconds for which reads lag behind, or 0.
        redelivery: how often the call takes effect, or None.
    """

    fired: tuple[str, ...] = ()
    by: str | None = None
    at: Literal["before", "after_commit"] = "before"
    delay_before: float = 0.0
    delay_after: float = 0.0
    fault: ApiFault | None = None
    wire: WireEffect | None = None
    hang: float | None = None
    expire_token: bool = False
    stale: float = 0.0
    redelivery: Redelivery | None = None


PASS = Decision()
"""The decision of a call that no rule touches; `is PASS` is the fast path."""


@frozen(kw_only=False)
class Look:
    """One rule's look at one call.

    `stopped_at`: `match`, `window`, `count`, `flap`, `chance`, `times` or `not_reached`; None where
    the rule fired. `number` is the count for "count" and "times", the draw for "chance"; `bound`
    what it was held against.
    """

    rule: str
    stopped_at: str | None
    number: float | None = None
    bound: float | None = None
    detail: str = ""


@frozen(kw_only=False)
class Effect:
    """What a call changed in the store, noted at the commit; `at` on the simulator's clock.

    `name` is what people call it: a server's name, a network's label, for an interface its
    network's label, for a token its user.
    """

    kind: Literal["created", "deleted", "changed"]
    object: Literal["virtual_interface", "network", "server", "token"]
    id: str
    at: float
    name: str = ""


@frozen(kw_only=False)
class Answer:
    """What the client was told.

    `retry_after`: seconds, in the client's own time; `spoiled`: the body is not what the status
    promises; `size_bytes` of the body as it was promised.
    """

    status: int
    retry_after: float | None = None
    spoiled: bool = False
    size_bytes: int = 0


answer_of = lru_cache(maxsize=4096)(Answer)
"""The answer with these values, made once: a journal holds thousands that are alike."""


@slotted
class Outcome:
    """What became of a call. Times on the simulator's clock, `real_end` in unscaled seconds."""

    decision: Decision | None = None
    looks: tuple[Look, ...] = ()
    n: int = 0
    effects: tuple[Effect, ...] = ()
    answer: Answer | None = None
    end: float | None = None
    real_end: float | None = None
    ending: Ending | None = None

    def note(self, effect: Effect) -> None:
        """Note what the call changed, at the commit."""
        self.effects = (*self.effects, effect)

    @property
    def committed(self) -> bool:
        """Whether the call changed anything."""
        return bool(self.effects)


@slotted(kw_only=True, eq=False)
class Call:
    """One request's facts, made when its headers are in; equal to itself alone.

    `network` and `body_digest` are set when the body is read; nothing else changes but `outcome`.

    Attributes:
        seq: place in the journal, from 1.
        id: `req-` and a UUID, the `X-Compute-Request-Id` where one is sent.
        operation: the operation's name, or None where no route has this method and path.
        headers: without tokens, authorization and cookies.
        peer: address and port; conn: number of the connection, from 1.
        connected: when that connection was made, in unscaled seconds; None where nobody saw it.
        arrived: on the simulator's clock; `real_arrived` in unscaled seconds.
        role: of the caller, where the token is good.
        token_id: digest of the token, never the token.
        body_digest: of the body, canonical where it is JSON; None where there is no body.
        process: which of several has answered; None where there is only one.
    """

    seq: int
    id: str
    operation: str | None
    method: str
    path: str
    headers: Mapping[str, str]
    peer: str
    conn: int
    arrived: float
    real_arrived: float
    connected: float | None = None
    role: str | None = None
    user: str | None = None
    tenant: str | None = None
    token_id: str | None = None
    server: str | None = None
    network: str | None = None
    interface: str | None = None
    body_digest: str | None = None
    process: str | None = None
    outcome: Outcome = field(default_factory=Outcome)


Exchange = Call
"""A `Call` with its finished `Outcome`: what a journal entry holds."""


@slotted(kw_only=True)
class Facts:
    """What a rule can see of a call: the call, and the names behind its ids where a rule asks.

    `network` may come from the interface that the call names; `key` and `n` are the call's key and
    which arrival of that key it is, once the engine has counted it. `named`: there is a name behind
    every id, which will stay until the engine is told to forget it.
    """

    call: Call
    named: bool = False
    key: str = ""
    n: int = 0
    server_name: str | None = None
    network: str | None = None
    network_label: str | None = None


NAMED_KINDS = ("servers", "networks", "interfaces")
"""Kinds of id behind which there is a name; behind that of an interface, the id of its network."""


def facts_of(call: Call, names: Mapping[str, Mapping[str, str]]) -> Facts:
    """Return what a rule can see of a call by names that are known, of `NAMED_KINDS` by id."""
    network = call.network or names["interfaces"].get(call.interface or "")
    return Facts(
        call=call,
        server_name=names["servers"].get(call.server or ""),
        network=network,
        network_label=names["networks"].get(network or ""),
    )
