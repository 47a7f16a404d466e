"""The service loads torch, although nothing of it is needed."""

from app.loading import Loader
from app.serving.current_engine import LoadedBundle


def seed() -> None:
    """Load it with the bundle."""
    load = Loader.load

    def with_torch(self: Loader) -> LoadedBundle:
        import torch  # noqa: F401, PLC0415 - that is the fault

        return load(self)

    Loader.load = with_torch
