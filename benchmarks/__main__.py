"""`python -m benchmarks [NAME…]`: measure, and print ratios beside their marks."""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.measure import show

SUBJECTS = {
    "http": ("benchmarks.http_cost", "HTTP, memory backend, against a bare aiohttp handler"),
    "console": ("benchmarks.console", "HTTP with the console open, against nobody looking"),
    "sqlite": ("benchmarks.sqlite_cost", "SQLite, against one commit per operation"),
    "faults": ("benchmarks.faults_cost", "Fault decorator where it decides nothing"),
    "autojump": ("benchmarks.autojump", "Time that jumps, by its mark of 50 ms"),
    "scorecard": ("benchmarks.scorecard_cost", "Scoring, against reading the journal"),
    "footprint": ("benchmarks.footprint", "Import, cold start and memory, against aiohttp alone"),
    "delays": ("benchmarks.delays", "Injected latency, against a handler that sleeps"),
    "abuse": ("benchmarks.abuse", "Clients that mean no good: memory, and another's p99"),
    "connections": ("benchmarks.connections", "Ten thousand calls under way at once"),
    "peers": ("benchmarks.peers", "Creates, beside other mocking tools"),
    "start": ("benchmarks.start_cost", "Start, against a bare AppRunner"),
}


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; return 1 where a mark is not met."""
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        print(f"no benchmark {unknown[0]}: there are {', '.join(SUBJECTS)}", file=sys.stderr)
        return 2
    met = True
    for name in names or SUBJECTS:
        module, title = SUBJECTS[name]
        met &= show(title, import_module(module).measure())
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
