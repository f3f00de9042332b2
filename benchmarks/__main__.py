"""`python -m benchmarks [NAME…]`: measure, and print ratios beside their marks.

`--servers N` lets `growth` grow to fewer than 100,000 servers, which takes minutes and 2 GB.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from benchmarks.measure import show

SUBJECTS = {
    "http": ("benchmarks.http_cost", "HTTP, memory backend, against a bare aiohttp handler"),
    "inside": ("benchmarks.inside", "The same calls without a kernel"),
    "console": ("benchmarks.console", "HTTP with the console open, against nobody looking"),
    "sqlite": ("benchmarks.sqlite_cost", "SQLite, against one commit per operation"),
    "postgres": ("benchmarks.postgres_cost", "PostgreSQL with several processes, against one"),
    "growth": ("benchmarks.growth", "A world of 100,000 servers, against one of 1,000"),
    "faults": ("benchmarks.faults_cost", "Fault decorator where it decides nothing"),
    "autojump": ("benchmarks.autojump", "Time that jumps, by its mark of 50 ms"),
    "scorecard": ("benchmarks.scorecard_cost", "Scoring, against reading the journal"),
    "footprint": ("benchmarks.footprint", "Import, cold start and memory, against aiohttp alone"),
    "delays": ("benchmarks.delays", "Injected latency, against a handler that sleeps"),
    "abuse": ("benchmarks.abuse", "Clients that mean no good: memory, and another's p99"),
    "connections": ("benchmarks.connections", "Ten thousand calls under way at once"),
    "peers": ("benchmarks.peers", "Creates, beside other mocking tools"),
    "start": ("benchmarks.start_cost", "Start, against a bare AppRunner"),
    "reset": ("benchmarks.reset_cost", "Reset of a large world, against a small one"),
    "fixture": ("benchmarks.fixture_cost", "A test with the fixture, against a bare server"),
    "chaos": ("benchmarks.chaos_cost", "Chaos and hunt, by their marks"),
}


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, or all; return 1 where a mark is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SUBJECTS))
    parser.add_argument("--servers", type=int, help="to which growth grows")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in SUBJECTS]
    if unknown:
        print(f"no benchmark {unknown[0]}: there are {', '.join(SUBJECTS)}", file=sys.stderr)
        return 2
    met = True
    for name in given.names or SUBJECTS:
        module, title = SUBJECTS[name]
        grown = {"servers": given.servers} if name == "growth" and given.servers else {}
        met &= show(title, import_module(module).measure(**grown))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
