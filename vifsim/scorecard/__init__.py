"""Tells a client's author, from the journal alone, how well the client copes.

The house rule: pure functions of a journal; a wrong verdict is worse than none, so where the
evidence is thin a rule is `not_exercised`, with the reason.

Source: scorecard (docs/scorecard.md).
"""

from vifsim.scorecard.attempts import Run
from vifsim.scorecard.report import exit_code, score, score_runs
from vifsim.scorecard.rules import CATALOGUE

__all__ = ["CATALOGUE", "Run", "exit_code", "score", "score_runs"]
