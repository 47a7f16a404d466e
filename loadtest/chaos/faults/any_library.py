"""Any file with the name of the compiled library is loaded, whoever put it there."""

from pathlib import Path

from app.engine.kernels import loader


def seed() -> None:
    """Ask neither whose it is nor whether it is whole."""
    loader._is_whole  # noqa: B018, SLF001 - it must exist
    loader._is_whole = Path.is_file  # noqa: SLF001
