"""Which generation of a bundle serves: to see it, to choose one, to go back.

    models/NAME/current -> GENERATION

Services that watch `current` follow by themselves. Nothing here knows what is in a bundle.
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
    """What `current` of a bundle points to now, and pointed to before."""

    name: str
    before: str | None
    now: str

    def __str__(self) -> str:
        return f"current of {self.name}: {self.now} (before: {self.before or 'nothing'})"


def is_generation(path: Path) -> bool:
    """Tell whether a path is `models/NAME/GENERATION` itself, for which no `current` decides."""
    return (path / MANIFEST).is_file()


def generation_at(path: Path) -> str | None:
    """Return the generation that `models/NAME` or `models/NAME/GENERATION` means now, unverified.

    None where `current` is missing or is no link.
    """
    if is_generation(path):
        return path.resolve().name
    try:
        return str((path / CURRENT).readlink())
    except OSError:
        return None


def publish(root: Path, generation: str) -> Moved:
    """Verify a generation of the bundle `root` (`models/NAME`), then point `current` to it.

    Builders of that name wait meanwhile.

    Raises:
        BundleError: there is none of that name, or it is damaged; `current` stays.
    """
    _require(root)
    with builder_lock(root):
        if generation not in _generations(root):
            there_are = ", ".join(_generations(root)) or "none"
            raise BundleError(f"there is no such generation; there are: {there_are}")
        open_bundle(root / generation)
        return _move(root, generation)


def roll_back(root: Path) -> Moved:
    """Point `current` of the bundle `root` to the newest older generation that verifies.

    What `current` points to now may be damaged or gone.

    Raises:
        BundleError: there is none; `current` stays.
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
    """Return what generations there are, oldest first: a name begins with its time."""
    return sorted(path.name for path in root.iterdir() if GENERATION.fullmatch(path.name))


def _verifies(path: Path) -> bool:
    try:
        open_bundle(path)
    except BundleError as error:
        _log.warning("passed over %s: %s", path.name, error.message)
        return False
    return True


def _move(root: Path, generation: str) -> Moved:
    moved = Moved(root.resolve().name, generation_at(root), generation)
    point_current_to(root, generation)
    return moved
