"""Everything that vifsim raises.

```
VifsimError
├── ApiFault                    the cloud refuses; becomes the fault envelope of the API
│   ├── BadRequest          400 badRequest
│   ├── Unauthorized        401 unauthorized
│   ├── Forbidden           403 forbidden
│   ├── UserDisabled        403 userDisabled
│   ├── ItemNotFound        404 itemNotFound
│   ├── BadMethod           405 badMethod
│   ├── NotAcceptable       406 computeFault
│   ├── Conflict            409 conflictingRequest
│   ├── OverLimit           413 overLimit: too many calls, come back later
│   ├── TooLarge            413 overLimit: this body or quota, never
│   ├── BadMediaType        415 badMediaType
│   ├── TooManyRequests     429 overLimit
│   ├── ComputeFault        500 computeFault
│   ├── NotImplementedHere  501 notImplemented
│   ├── BadGateway          502 computeFault
│   ├── ServiceUnavailable  503 serviceUnavailable
│   └── GatewayTimeout      504 computeFault
├── NoAnswer                    the client gets no status line
├── ControlFault                a control call is refused; becomes problem+json
└── UsageError                  a user's mistake; one line and exit code 2
    ├── ScenarioError           every error of a scenario, each with its place
    ├── JournalError            a journal file that cannot be read
    └── BackendError            a store that cannot be opened
```

The house rule: raise the leaf where the fact is known. Only the edge turns an `ApiFault` into
bytes, only the command line turns a `UsageError` into a line.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal

from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vifsim.exchange import WireEffect

BodyForm = Literal["fault", "html", "text", "xml", "empty"]
RetryAfterForm = Literal["seconds", "date", "raw"]

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class VifsimError(Exception):
    """The root of everything that vifsim raises."""


@frozen(kw_only=False)
class RetryAfter:
    """When a refused client may come back.

    `delay` is in seconds of the simulator's clock and None where `form` is "raw"; `text` is sent
    as it stands where `form` is "raw".
    """

    delay: float | None
    form: RetryAfterForm = "seconds"
    text: str = ""


class ApiFault(VifsimError):
    """A refusal that the API documents; one leaf for each.

    Attributes:
        message: what went wrong, for the client's user.
        details: a second sentence, or None.
        retry_after: when to come back, or None.
        headers: further headers of the answer.
        body: the form of the answer's body; "fault" is the JSON envelope.
        policy: whether an account policy refused, which the live service says in plain text.

    Source: API contract, section 2.1 (docs/api.md).
    """

    status: ClassVar[int] = 500
    name: ClassVar[str] = "computeFault"

    def __init__(
        self,
        message: str,
        *,
        details: str | None = None,
        retry_after: RetryAfter | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: BodyForm = "fault",
        policy: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.retry_after = retry_after
        self.headers = headers
        self.body: BodyForm = body
        self.policy = policy

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r})"


class BadRequest(ApiFault):
    """The request is malformed, or asks for what the API forbids at any time."""

    status = 400
    name = "badRequest"


class Unauthorized(ApiFault):
    """No token, or one that is unknown, expired, revoked or for another tenant."""

    status = 401
    name = "unauthorized"


class Forbidden(ApiFault):
    """The caller's role, an account policy or a quota forbids the call."""

    status = 403
    name = "forbidden"


class UserDisabled(ApiFault):
    """The user's account is disabled."""

    status = 403
    name = "userDisabled"


class ItemNotFound(ApiFault):
    """There is no such thing, or it belongs to another tenant."""

    status = 404
    name = "itemNotFound"


class BadMethod(ApiFault):
    """The path exists, the method on it does not; `Allow` names those that do."""

    status = 405
    name = "badMethod"


class NotAcceptable(ApiFault):
    """The client accepts no JSON."""

    status = 406
    name = "computeFault"


class Conflict(ApiFault):
    """The state of the thing forbids the call now."""

    status = 409
    name = "conflictingRequest"


class OverLimit(ApiFault):
    """A rate limit is used up; `retry_after` says when its window ends."""

    status = 413
    name = "overLimit"


class TooLarge(ApiFault):
    """The body or an absolute quota is over its limit; waiting does not help."""

    status = 413
    name = "overLimit"


class BadMediaType(ApiFault):
    """The body is not declared to be JSON."""

    status = 415
    name = "badMediaType"


class TooManyRequests(ApiFault):
    """The newer status for a rate limit; the service itself stays at 413."""

    status = 429
    name = "overLimit"


class ComputeFault(ApiFault):
    """The service failed."""

    status = 500
    name = "computeFault"


class NotImplementedHere(ApiFault):
    """The operation is real, but this simulator does not play it."""

    status = 501
    name = "notImplemented"


class BadGateway(ApiFault):
    """A proxy in front got no proper answer."""

    status = 502
    name = "computeFault"


class ServiceUnavailable(ApiFault):
    """The service is down for the moment."""

    status = 503
    name = "serviceUnavailable"


class GatewayTimeout(ApiFault):
    """A proxy in front waited too long."""

    status = 504
    name = "computeFault"


FAULT_BY_STATUS: Mapping[int, type[ApiFault]] = MappingProxyType(
    {
        fault.status: fault
        for fault in (
            BadRequest,
            Unauthorized,
            Forbidden,
            ItemNotFound,
            BadMethod,
            NotAcceptable,
            Conflict,
            OverLimit,
            BadMediaType,
            TooManyRequests,
            ComputeFault,
            NotImplementedHere,
            BadGateway,
            ServiceUnavailable,
            GatewayTimeout,
        )
    }
)
"""The leaf that an injected status raises. A 413 without a time is a `TooLarge` instead."""


class NoAnswer(VifsimError):
    """The client is to get no status line; `wire` says what it meets instead."""

    def __init__(self, wire: WireEffect) -> None:
        super().__init__(f"no answer: {wire.kind}")
        self.wire = wire


@frozen
class Problem:
    """One place in a user's document that is wrong.

    `at` is a path into the document such as `rules[0].frist`; `line` and `column` count from 1 and
    are None where the document was not text.
    """

    detail: str
    at: str = ""
    line: int | None = None
    column: int | None = None
    hint: str = ""


class ControlFault(VifsimError):
    """A control call is refused.

    Attributes:
        status: the HTTP status of the answer.
        problems: the single places that are wrong, where they can be named.

    Source: control API, section 1 (docs/control-api.md).
    """

    def __init__(self, status: int, detail: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.problems = tuple(problems)


class UsageError(VifsimError):
    """A user's mistake: what is wrong, where, and what to do."""

    exit_code: ClassVar[int] = 2


class ScenarioError(UsageError):
    """A scenario with errors, all of them at once.

    Attributes:
        source: the file or name that was read, as the user wrote it.
        problems: one for each error, in the order of the text.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(self._line(problem) for problem in self.problems))

    def _line(self, problem: Problem) -> str:
        place = f"{self.source}:{problem.line}:{problem.column}"
        if problem.line is None:
            place = ": ".join(filter(None, (self.source, problem.at)))
        hint = f" ({problem.hint})" if problem.hint else ""
        return f"{place}: {problem.detail}{hint}"


class JournalError(UsageError):
    """A journal file that is missing, cut or not a journal."""


class BackendError(UsageError):
    """A store that is missing, locked, newer than this version, damaged or not ours."""
