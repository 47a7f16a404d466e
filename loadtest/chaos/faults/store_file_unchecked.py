"""Events are acknowledged into a store file that was removed."""

from app.serving.stores.sqlite_file import SqliteFile


def seed() -> None:
    """Look at no file before a write."""
    SqliteFile._check_files  # noqa: B018, SLF001 - it must exist
    SqliteFile._check_files = lambda _file: None  # noqa: SLF001 - a fault
