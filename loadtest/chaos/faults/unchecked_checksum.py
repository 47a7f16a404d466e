"""Sizes and checksums of the files of a bundle are not compared."""

from pathlib import Path

from app.bundle import reader
from app.bundle.manifest import Manifest


def seed() -> None:
    """Accept whatever lies in the folder."""

    def unchecked(_folder: Path, _manifest: Manifest) -> None:
        pass

    reader._verify_files  # noqa: B018, SLF001 - it must exist
    reader._verify_files = unchecked  # noqa: SLF001
