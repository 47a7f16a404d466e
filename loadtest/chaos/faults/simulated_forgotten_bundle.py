"""The key of a cached answer does not name the bundle that made it."""

from loadtest.simulation import faults


def seed() -> None:
    """Swap the part, as the simulation does it for itself."""
    faults.seed("forgotten_bundle")
