"""Items change while a pass is running."""

from loadtest.simulation import faults


def seed() -> None:
    """Swap the part, as the simulation does it for itself."""
    faults.seed("change_in_a_pass")
