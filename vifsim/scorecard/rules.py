"""The catalogue: the 24 rules, what each is called, how much it weighs, and what it advises.

The house rule: one line of the catalogue for each rule of `SCORECARD_RULES`, in that order; the
judging itself stands with its family: `retries`, `creates`, `sessions`, `herds`, `reads`.

Source: scorecard, "The catalogue" (docs/scorecard.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vifsim.scorecard import creates, herds, reads, retries, sessions
from vifsim.scorecard.findings import Judged, Rule, verdict_of

if TYPE_CHECKING:
    from vifsim.scorecard.traffic import Traffic

CATALOGUE: tuple[Rule, ...] = (
    Rule(
        code="R01",
        name="retry_after_honoured",
        severity="major",
        term="Retry-After, server push-back",
        exercised_when="an answer with Retry-After that is followed by another attempt",
        advice="Wait at least as long as Retry-After says, seconds or date, before any call under "
        "the same limit; with urllib3 set respect_retry_after_header and allow 413, 429 and 503.",
        judge=retries.retry_after_honoured,
    ),
    Rule(
        code="R02",
        name="transient_retried",
        severity="minor",
        term="retry of transient faults",
        exercised_when="a 413, 429 or 503, or a transient failure of a GET or DELETE",
        advice="Try again after 413, 429 and 503, and after any transient failure of a GET or "
        "DELETE: nothing was done, or doing it again does no harm.",
        judge=retries.transient_retried,
    ),
    Rule(
        code="R03",
        name="retries_capped",
        severity="critical",
        term="max attempts, bounded retry",
        exercised_when="a call that is tried more than once and still fails at the end",
        advice="Give up after a fixed number of attempts (three to five is usual) and tell the "
        "caller; with tenacity set stop_after_attempt, whose default is never to stop.",
        judge=retries.retries_capped,
    ),
    Rule(
        code="R04",
        name="no_hot_retry",
        severity="major",
        term="hot loop, busy retry",
        exercised_when="two retries of one call after transient failures without Retry-After",
        advice="Wait before every retry but the first; with urllib3 set backoff_factor, whose "
        "default is 0, with tenacity set wait, whose default is not to wait.",
        judge=retries.no_hot_retry,
    ),
    Rule(
        code="R05",
        name="backoff_grows",
        severity="major",
        term="capped exponential backoff",
        exercised_when="four waits of one call without Retry-After",
        advice="Let each wait grow, for example by doubling it up to a cap, so that an overloaded "
        "service gets less and less load.",
        judge=retries.backoff_grows,
        votes=True,
    ),
    Rule(
        code="R06",
        name="backoff_jittered",
        severity="minor",
        term="full / equal / decorrelated jitter",
        exercised_when="four waits of one call without Retry-After, or several runs to compare",
        advice="Draw each wait at random, for example uniformly from 0 to the backoff, so that "
        "clients that failed together do not come back together.",
        judge=retries.backoff_jittered,
        votes=True,
    ),
    Rule(
        code="R07",
        name="permanent_not_retried",
        severity="major",
        term="retryable-error classification",
        exercised_when="a 400, 403, 404, 405 or 409, or a 413 that says too large",
        advice="Do not repeat a request that was refused with 400, 403, 404, 405 or 409; read the "
        "state again before another try after a 409.",
        judge=retries.permanent_not_retried,
    ),
    Rule(
        code="R08",
        name="no_blind_recreate",
        severity="critical",
        term="non-idempotent retry, duplicate side effect",
        exercised_when="a create that took effect and whose answer was lost",
        advice="After a create whose answer was lost, list the server's interfaces first: the "
        "interface may exist, and a second create makes another or fails.",
        judge=creates.no_blind_recreate,
    ),
    Rule(
        code="R09",
        name="reconciled_by_listing",
        severity="critical",
        term="read-after-ambiguity, reconciliation",
        exercised_when="a create that took effect and whose answer was lost",
        advice="After a create whose answer was lost, list the server's interfaces to learn what "
        "became of it, then go on from there.",
        judge=creates.reconciled_by_listing,
    ),
    Rule(
        code="R10",
        name="no_leaked_interface",
        severity="critical",
        term="orphan resource, compensation",
        exercised_when="a create that took effect",
        advice="Delete what was made on every way out, failures included; where interfaces are "
        "meant to stay, say so with client: {keeps: N}.",
        judge=creates.no_leaked_interface,
    ),
    Rule(
        code="R11",
        name="hung_request_abandoned",
        severity="major",
        term="request timeout, deadline",
        exercised_when="a call that hangs or drips longer than the time-out that is asked for",
        advice="Set a total time-out on every call: requests has none at all, and a time-out for "
        "each read does not end an answer that drips.",
        judge=sessions.hung_request_abandoned,
    ),
    Rule(
        code="R12",
        name="timeout_not_too_short",
        severity="minor",
        term="false timeout",
        exercised_when="an answer that is slow but within reason",
        advice="Choose the time-out from the service's slow answers, not its usual ones, so that "
        "about one in a thousand good answers is given up.",
        judge=sessions.timeout_not_too_short,
    ),
    Rule(
        code="R13",
        name="reauth_on_401",
        severity="major",
        term="token refresh",
        exercised_when="a 401 to a token that was good before",
        advice="On a 401 to a token that was good, log in once and repeat the call with the new "
        "token.",
        judge=sessions.reauth_on_401,
    ),
    Rule(
        code="R14",
        name="dead_token_not_reused",
        severity="major",
        term="auth retry loop",
        exercised_when="a 401 to a token that was good before",
        advice="Drop a token at its first 401, and let all threads share one log-in.",
        judge=sessions.dead_token_not_reused,
    ),
    Rule(
        code="R15",
        name="token_cached",
        severity="minor",
        term="credential caching",
        exercised_when="five calls and a log-in",
        advice="Keep the token and use it until it is refused or expires; it lives for a day.",
        judge=sessions.token_cached,
    ),
    Rule(
        code="R16",
        name="no_stampede",
        severity="major",
        term="thundering herd, synchronized retry",
        exercised_when="ten clients that fail in the same second and try again",
        advice="Add jitter to every wait, the one before the first retry included, so that clients "
        "that failed together come back apart.",
        judge=herds.no_stampede,
        votes=True,
    ),
    Rule(
        code="R17",
        name="amplification_bounded",
        severity="major",
        term="retry amplification, retry budget",
        exercised_when="an outage that ten calls fall into",
        advice="Retry at one layer only and cap attempts at three, or keep a retry budget such as "
        "10 % of requests.",
        judge=herds.amplification_bounded,
    ),
    Rule(
        code="R18",
        name="overall_deadline",
        severity="minor",
        term="deadline across attempts",
        exercised_when="a call that is tried more than once",
        advice="Give a call with all its retries one deadline, for example five minutes.",
        judge=retries.overall_deadline,
    ),
    Rule(
        code="R19",
        name="gone_delete_is_done",
        severity="minor",
        term="idempotent delete",
        exercised_when="a delete that took effect, whose answer was lost and whose repeat met 404",
        advice="Take a 404 to a repeated delete for success: the thing is gone, as was asked.",
        judge=creates.gone_delete_is_done,
    ),
    Rule(
        code="R20",
        name="stale_list_tolerated",
        severity="major",
        term="eventual consistency, read-your-writes",
        exercised_when="a list that does not show a new interface yet",
        advice="Ask a list that may lag behind again for some seconds before you believe that "
        "something is not there.",
        judge=creates.stale_list_tolerated,
    ),
    Rule(
        code="R21",
        name="pagination_followed",
        severity="major",
        term="collection links",
        exercised_when="a list with a link to a next page",
        advice="Follow the next link of a list until there is none.",
        judge=reads.pagination_followed,
    ),
    Rule(
        code="R22",
        name="bad_body_survived",
        severity="minor",
        term="response validation",
        exercised_when="an answer of 2xx whose body is spoiled",
        advice="Treat a body that does not parse or lacks what it should hold like a lost answer: "
        "look what became of the call, then go on.",
        judge=creates.bad_body_survived,
    ),
    Rule(
        code="R23",
        name="poll_paced",
        severity="minor",
        term="polling interval, documented quota",
        exercised_when="six lists of one server while it is healthy",
        advice="Poll a server's interfaces at most 25 times a minute, and make at most four.",
        judge=reads.poll_paced,
    ),
    Rule(
        code="R24",
        name="busy_server_awaited",
        severity="minor",
        term="409 on a resource in transition",
        exercised_when="a 409 because the server is still being built",
        advice="On a 409 of a server that is being built, poll the server until it is ACTIVE, then "
        "repeat the call.",
        judge=creates.busy_server_awaited,
    ),
)
"""The rules, in the order of their codes."""

BY_NAME = {rule.name: rule for rule in CATALOGUE}


def judge_all(traffic: Traffic) -> dict[str, Judged]:
    """Return the verdict of every rule, by name."""
    return {rule.name: verdict_of(rule, rule.judge(traffic)) for rule in CATALOGUE}
