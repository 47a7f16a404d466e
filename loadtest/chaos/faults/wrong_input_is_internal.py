"""Input that does not fit is answered as a fault of ours."""

from app.api import problems
from app.core.errors import AppError


def seed() -> None:
    """Translate each error of validation into the one for whatever is unexpected."""
    problems._invalid  # noqa: B018, SLF001 - it must exist
    problems._invalid = lambda *_: AppError("internal error")  # noqa: SLF001
