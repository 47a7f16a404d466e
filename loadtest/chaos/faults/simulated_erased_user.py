"""The history in the bundle of a user who was erased is used again."""

from loadtest.simulation import faults


def seed() -> None:
    """Swap the part, as the simulation does it for itself."""
    faults.seed("erased_user")
