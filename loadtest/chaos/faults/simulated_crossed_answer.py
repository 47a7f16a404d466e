"""Where a caller has left, those behind it in the batch get the answers of others."""

from loadtest.simulation import faults


def seed() -> None:
    """Swap the part, as the simulation does it for itself."""
    faults.seed("crossed_answer")
