"""A scorecard as one HTML file, with a timeline of every run.

The house rule: one file, no script, no asset from elsewhere; what came from a client or a scenario
is escaped; colour never says what a word does not say too.

Source: scorecard, "Output" (docs/scorecard.md).
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from vifsim.scorecard.chains import wait
from vifsim.scorecard.report import LIMITS
from vifsim.scorecard.text import evidence_line, in_order, printable, reproduction, title, unmet
from vifsim.scorecard.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vifsim.scorecard.attempts import Attempt, Run
    from vifsim.scorecard.chains import Chain

_MOST_ROWS = 60
_MOST_MARKS = 60
_LEAST_SPAN = 0.001
_VERDICTS = {"fail": "fail", "pass": "pass", "not_exercised": "not exercised"}

_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--ink:#1b1f24;--dim:#59636e;--line:#d1d9e0;--soft:#f6f8fa;
--good:#1a7f37;--bad:#c4232b;--odd:#8a5a00;--told:#0969da}
@media (prefers-color-scheme:dark){:root{--bg:#0d1117;--ink:#e6edf3;--dim:#9198a1;--line:#3d444d;
--soft:#151b23;--good:#3fb950;--bad:#ff7b72;--odd:#e3b341;--told:#58a6ff}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:64rem;background:var(--bg);color:var(--ink);
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
.grade{font-size:2.6rem;font-weight:700;line-height:1;float:right;padding-left:1rem}
.rule{border:1px solid var(--line);border-left:.35rem solid var(--line);border-radius:.3rem;
padding:.5rem .75rem;margin:.5rem 0}
.rule.fail{border-left-color:var(--bad)}.rule.pass{border-left-color:var(--good)}
.rule p{margin:.2rem 0}.rule ul{margin:.3rem 0;padding-left:1.2rem}
.tag{font-weight:600}.fail .tag{color:var(--bad)}.pass .tag{color:var(--good)}
.dim,.legend,footer{color:var(--dim);font-size:.875rem}
code{font-family:ui-monospace,monospace;font-size:.875em}
summary{cursor:pointer}
.row{margin:.5rem 0}
.track{position:relative;height:1.5rem;background:var(--soft);border:1px solid var(--line);
border-radius:.2rem;overflow:hidden;margin-top:.1rem}
.track i{position:absolute;top:0;bottom:0;min-width:3px}
.wait{top:48%!important;bottom:auto!important;height:1px;background:var(--dim)}
.told{background:repeating-linear-gradient(135deg,var(--told) 0 2px,transparent 2px 7px);
opacity:.6}
.ok{background:var(--good)}.refused{background:var(--bad)}.cut{background:var(--odd);
border-left:3px double var(--bg)}.gone{background:var(--odd)}.open{background:var(--dim)}
.scale{display:flex;justify-content:space-between}
.legend i{display:inline-block;width:.9rem;height:.8rem;margin:0 .25rem 0 .7rem;
vertical-align:-.05rem}
ol{padding-left:1.6rem;margin:.3rem 0}
@media print{:root{--bg:#fff;--ink:#000;--dim:#444;--line:#999;--soft:#fff}
body{max-width:none;padding:0}.rule,.row{break-inside:avoid}details::details-content{content-visibility:visible;block-size:auto}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

_LEGEND = (
    '<p class="legend"><i class="ok"></i>answered well <i class="refused"></i>refused or failed '
    '<i class="cut"></i>no whole answer <i class="gone"></i>the client left '
    '<i class="told"></i>told to wait <i class="open"></i>under way</p>'
)


def page(document: Mapping[str, Any], runs: Sequence[tuple[str, Run]] = ()) -> str:
    """Return a scorecard as one HTML file, with a timeline of each run under its name."""
    head = title(document)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>Scorecard: {_text(head)}</title><style>{_STYLE}</style></head><body><main>",
        f'<div class="grade" aria-label="grade">{_text(document["grade"] or "?")}</div>',
        f"<h1>Scorecard</h1><p>{_text(head)}</p>",
        *_expectations(document),
        *_rules(document),
    ]
    for name, run in runs:
        parts += _timeline(name, run)
    parts.append(f"</main><footer><p>{_text(LIMITS)}</p></footer></body></html>\n")
    return "".join(parts)


def _text(value: object) -> str:
    return escape(printable(value))


def _expectations(document: Mapping[str, Any]) -> Iterator[str]:
    missing = unmet(document)
    if missing:
        items = "".join(f"<li>{_text(line)}</li>" for line in missing)
        yield f'<section class="rule fail"><p class="tag">Not met</p><ul>{items}</ul></section>'


def _rules(document: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>Rules</h2>"
    skipped: list[str] = []
    for name, rule in in_order(document):
        if rule["verdict"] == "not_exercised":
            skipped.append(f"<li>{rule['code']} <code>{name}</code>: {_text(rule['reason'])}</li>")
        else:
            again = reproduction(document, rule) if rule["verdict"] == "fail" else None
            yield _rule(name, rule, again)
    if skipped:
        items = "".join(skipped)
        yield f"<details><summary>{len(skipped)} rules not exercised</summary>"
        yield f"<ul>{items}</ul></details>"


def _rule(name: str, rule: Mapping[str, Any], again: str | None) -> str:
    verdict = rule["verdict"]
    shown = [f"<li><code>{_text(evidence_line(p))}</code></li>" for p in rule["evidence"]]
    proof = (
        f"<details><summary>evidence ({len(shown)})</summary><ul>{''.join(shown)}</ul></details>"
        if shown
        else ""
    )
    advice = f"<p>{_text(rule['advice'])}</p>" if rule["advice"] else ""
    command = f"<p>again: <code>{_text(again)}</code></p>" if again else ""
    return (
        f'<section class="rule {verdict}"><p><span class="tag">{_VERDICTS[verdict]}</span> '
        f'{rule["code"]} <code>{name}</code> <span class="dim">{rule["severity"]}</span></p>'
        f"<p>{_text(rule['reason'])}</p>{advice}{command}{proof}</section>"
    )


# ── timeline ─────────────────────────────────────────────────────────────────────────────────────


def _timeline(name: str, run: Run) -> Iterator[str]:
    traffic = Traffic(run)
    yield f"<h2>{_text(name)}</h2>"
    if not traffic.chains:
        yield '<p class="dim">No call reached the server.</p>'
        return
    shown = _worth_showing(traffic.chains)
    start = min(chain.first.arrived for chain in shown)
    end = max(_until(chain) for chain in shown)
    span = max(end - start, _LEAST_SPAN)
    yield _LEGEND
    for chain in shown:
        yield _row(chain, start, span)
    yield f'<div class="scale dim"><span>0 s</span><span>{span:.3g} s</span></div>'
    left_out = len(traffic.chains) - len(shown)
    if left_out:
        yield f'<p class="dim">{left_out} further calls are not drawn.</p>'


def _worth_showing(chains: Sequence[Chain]) -> list[Chain]:
    """Return the calls to draw, in their order: those that failed before those that went well."""
    ranked = sorted(chains, key=lambda chain: not any(a.failed for a in chain.attempts))
    kept = {id(chain) for chain in ranked[:_MOST_ROWS]}
    return [chain for chain in chains if id(chain) in kept]


def _until(chain: Chain) -> float:
    """Return the last moment of a call that is drawn; a wait that nobody kept is cut short."""
    return max(attempt.ended for attempt in chain.attempts)


def _row(chain: Chain, start: float, span: float) -> str:
    marks: list[str] = []
    for index, attempt in enumerate(chain.attempts[:_MOST_MARKS]):
        following = chain.attempts[index + 1] if index + 1 < len(chain) else None
        marks += _marks(attempt, following, start, span)
    items = "".join(f"<li>{_text(_said(chain, i))}</li>" for i in range(min(len(chain), 60)))
    head = f"{chain.first.operation}, {_number(len(chain))}"
    return (
        f'<div class="row"><details><summary>{_text(head)}</summary><ol>{items}</ol></details>'
        f'<div class="track" role="img" aria-label="{_text(head)}">{"".join(marks)}</div></div>'
    )


def _number(attempts: int) -> str:
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"


def _marks(attempt: Attempt, following: Attempt | None, start: float, span: float) -> Iterator[str]:
    def bar(kind: str, begin: float, end: float) -> str:
        left = min(max(100 * (begin - start) / span, 0.0), 99.5)
        width = min(max(100 * (end - begin) / span, 0.0), 100 - left)
        return f'<i class="{kind}" style="left:{left:.2f}%;width:{width:.2f}%"></i>'

    if attempt.retry_after:
        yield bar("told", attempt.ended, attempt.ended + attempt.retry_after)
    if following is not None:
        yield bar("wait", attempt.ended, following.arrived)
    yield bar(_kind(attempt), attempt.arrived, attempt.ended)


def _kind(attempt: Attempt) -> str:
    if not attempt.done:
        return "open"
    if attempt.outcome == "client_gone":
        return "gone"
    if not attempt.completed or attempt.spoiled:
        return "cut"
    return "ok" if attempt.succeeded else "refused"


def _said(chain: Chain, index: int) -> str:
    """Return an attempt in words: its number, what came of it, why, and how long after the last."""
    attempt = chain.attempts[index]
    what = {
        "open": "under way",
        "gone": "the client left",
        "cut": "no whole answer",
    }.get(_kind(attempt), f"{attempt.status}")
    parts = [f"entry {attempt.seq}: {what}"]
    if attempt.by is not None:
        parts.append(f"by {attempt.by}")
    if attempt.retry_after is not None:
        parts.append(f"told to wait {attempt.retry_after:.3g} s")
    if index:
        parts.append(f"came {wait(chain.attempts[index - 1], attempt):.3f} s after the last")
    parts.append(f"took {attempt.lasted:.3f} s")
    return ", ".join(parts)
