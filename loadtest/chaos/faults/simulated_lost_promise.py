"""The last request of a full batch gets no answer."""

from loadtest.simulation import faults


def seed() -> None:
    """Swap the part, as the simulation does it for itself."""
    faults.seed("lost_promise")
