"""Which generation of a bundle serves: read it, choose another one, or go back to an older one.

    models/NAME/current -> GENERATION

Services watch the link `current` and load the generation that it points to. This module does not
know what is in a bundle.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from app.bundle.manifest import GENERATION, MANIFEST
from app.bundle.reader import CURRENT, open_bundle
from app.bundle.writer import builder_lock, point_current_to
from app.core.errors import BundleError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Moved:
    """Where the link `current` of a bundle pointed `before`, and where it points `now`."""

    name: str
    before: str | None
    now: str

    def __str__(self) -> str:
        return f"current of {self.name}: {self.now} (before: {self.before or 'nothing'})"


def is_generation(path: Path) -> bool:
    """Tell whether a path is one generation (`models/NAME/GENERATION`), not a bundle folder."""
    return (path / MANIFEST).is_file()


def generation_at(path: Path) -> str | None:
    """Return the name of the generation at `models/NAME` or `models/NAME/GENERATION`, unverified.

    None if it is a bundle folder whose `current` is missing or is no link.
    """
    if is_generation(path):
        return path.resolve().name
    try:
        return str((path / CURRENT).readlink())
    except OSError:
        return None


def publish(root: Path, generation: str) -> Moved:
    """Verify a generation of the bundle `root` (`models/NAME`), then point `current` to it.

    Builders of the same bundle wait meanwhile.

    Raises:
        BundleError: there is no such generation, or it is damaged; `current` is not changed.
    """
    _require(root)
    with builder_lock(root):
        if generation not in _generations(root):
            names = ", ".join(_generations(root)) or "none"
            raise BundleError(f"there is no such generation; there are: {names}")
        open_bundle(root / generation)
        return _move(root, generation)


def roll_back(root: Path) -> Moved:
    """Point `current` of the bundle `root` to the newest older generation that is undamaged.

    The generation that `current` points to now may be damaged or gone.

    Raises:
        BundleError: there is none; `current` is not changed.
    """
    _require(root)
    with builder_lock(root):
        current = generation_at(root)
        if current is None:
            raise BundleError(f"`current` of the bundle {root.name!r} points to nothing")
        for generation in reversed(_generations(root)):
            if generation < current and _verifies(root / generation):
                return _move(root, generation)
    raise BundleError(f"there is nothing older than {current} to go back to in {root.name!r}")


def _require(root: Path) -> None:
    if not root.is_dir() or is_generation(root):
        raise BundleError(f"there is no bundle folder {root.name!r}: name models/NAME")


def _generations(root: Path) -> list[str]:
    """Return the names of all generations, oldest first: each begins with the time of its build."""
    return sorted(path.name for path in root.iterdir() if GENERATION.fullmatch(path.name))


def _verifies(path: Path) -> bool:
    try:
        open_bundle(path)
    except BundleError as error:
        _log.warning("skipped the generation %s: %s", path.name, error.message)
        return False
    return True


def _move(root: Path, generation: str) -> Moved:
    moved = Moved(root.resolve().name, generation_at(root), generation)
    point_current_to(root, generation)
    return moved
