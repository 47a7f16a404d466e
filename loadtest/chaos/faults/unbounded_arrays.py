"""Rows and offsets that come from a bundle are not bounded."""

from app.core import bounds
from loadtest.chaos import faulty_service


def seed() -> None:
    """Accept any numbers; the process that tries a bundle has the fault too."""

    def accepted(*_: object) -> bool:
        return True

    for name in ("are_below", "are_offsets", "rise_in_lists"):
        getattr(bounds, name)
        setattr(bounds, name, accepted)
    faulty_service.in_trials("unbounded_arrays")
