"""The backends that ship with vifsim, found through entry points."""
