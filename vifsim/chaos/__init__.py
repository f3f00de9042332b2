"""Running somebody's client against a cloud that misbehaves, and judging how it copes."""
