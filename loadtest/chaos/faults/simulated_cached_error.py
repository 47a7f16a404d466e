"""A computation that failed is remembered, and later requests join it."""

from loadtest.simulation import faults


def seed() -> None:
    """Swap the part, as the simulation does it for itself."""
    faults.seed("cached_error")
