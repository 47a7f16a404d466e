"""Events are acknowledged although the store has failed."""

from loadtest.simulation import faults


def seed() -> None:
    """Swap the part, as the simulation does it for itself."""
    faults.seed("dropped_event")
