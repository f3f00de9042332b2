"""The scenarios that ship with vifsim, by name."""
