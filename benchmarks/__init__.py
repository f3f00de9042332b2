"""What it costs, beside what it could cost at the least; `python -m benchmarks` runs all of it."""
