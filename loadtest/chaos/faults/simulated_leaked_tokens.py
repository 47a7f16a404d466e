"""The tokens of a request whose caller left stay counted."""

from loadtest.simulation import faults


def seed() -> None:
    """Swap the part, as the simulation does it for itself."""
    faults.seed("leaked_tokens")
