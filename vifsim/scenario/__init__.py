"""Scenarios: how the cloud misbehaves, to whom, and when."""
