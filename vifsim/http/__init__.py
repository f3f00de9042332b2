"""The HTTP face of the simulated cloud."""
