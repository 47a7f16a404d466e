"""Publishing a bundle: a generation is written to a temporary folder, then shown in one step.

Whenever the builder dies, a reader sees either the old generation or the new one, complete. For
that, the files are synced before the manifest is written, the manifest before the folder is
renamed, and the rename before `current` is changed. A generation that must still be accepted has
its final name, but lies in a temporary folder, which no reader opens. This module does not know
what is in the files, nor which generation is acceptable.
"""

import fcntl
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from app import __version__
from app.bundle.manifest import GENERATION, MANIFEST, BundleFacts, FileFacts, Manifest
from app.bundle.reader import (
    CURRENT,
    FORMAT_VERSION,
    UNSEALED,
    Bundle,
    sealed,
    sha256_of,
    walk_files,
)

KEEP_GENERATIONS = 3

_TEMPORARY = ".tmp-"
_TRIAL = f"{_TEMPORARY}trial"
_log = logging.getLogger(__name__)


def write_bundle(
    root: Path,
    fill: Callable[[Path], BundleFacts],
    accept: Callable[[Bundle], None] | None = None,
) -> Bundle:
    """Publish a new generation of the bundle `root` (`models/NAME`) and return it.

    If `fill` or `accept` raises, everything that was written is removed, and `current` is not
    changed. Builders of the same bundle wait for each other. The newest three generations are kept,
    and always the one that `current` points to.

    Args:
        root: the bundle folder; it is created if it is missing.
        fill: writes the files into the empty folder that it gets, and says what they are.
        accept: raises if the finished generation must not be published. It can be opened already,
            while `current` still points to the old one. None = publish it.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    root.mkdir(parents=True, exist_ok=True)
    with builder_lock(root):
        generation = _new_generation()
        folder = root / f"{_TEMPORARY}{generation}"
        folder.mkdir()
        try:
            facts = fill(folder)
            manifest = _seal(folder, facts, root.resolve().name, generation)
            if accept is not None:
                folder = _on_trial(folder, generation)
                accept(Bundle(folder, manifest))
            folder.rename(root / generation)
        finally:
            _remove_leftovers(root)
        _sync(root)
        point_current_to(root, generation)
        _prune(root, current=generation)
    return Bundle(root / generation, manifest)


@contextmanager
def builder_lock(root: Path) -> Iterator[None]:
    """Hold the bundle's lock for builders; leftovers of builders that died are removed first.

    The system frees the lock when its holder dies.
    """
    with (root / ".lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.warning("another build of %s is running: waiting for it to end", root.name)
            fcntl.flock(file, fcntl.LOCK_EX)
        # Nobody else is building now, so these belong to builders that died.
        _remove_leftovers(root)
        yield


def _remove_leftovers(root: Path) -> None:
    for path in root.glob(f"{_TEMPORARY}*"):
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path)


def _new_generation() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(4)}"


def _seal(folder: Path, facts: BundleFacts, name: str, generation: str) -> Manifest:
    """Make the files durable, then write the manifest that lists them, and make it durable too."""
    files = {
        path: FileFacts(bytes=size, sha256=sha256_of(folder / path))
        for path, size in sorted(walk_files(folder))
    }
    for path in files:
        # Some libraries write files for the owner only; a service may run as another user.
        (folder / path).chmod(0o644)
        _sync(folder / path)
    unsealed = Manifest(
        **dict(facts),
        format_version=FORMAT_VERSION,
        name=name,
        generation=generation,
        created_at=datetime.now(UTC),
        recserve=__version__,
        files=files,
        manifest_sha256=UNSEALED,
    )
    text = sealed(unsealed.model_dump_json(indent=2) + "\n")
    (folder / MANIFEST).write_text(text, "utf-8")
    _sync(folder / MANIFEST)
    for subfolder, _, _ in os.walk(folder):
        _sync(Path(subfolder))
    return Manifest.model_validate_json(text)


def _on_trial(folder: Path, generation: str) -> Path:
    """Move a sealed folder to where it has its final name, but no reader looks for it."""
    trial = folder.parent / _TRIAL
    trial.mkdir()
    return folder.rename(trial / generation)


def point_current_to(root: Path, generation: str) -> None:
    """Point `current` to a generation, atomically and durably. Call it under the lock."""
    link = root / f"{_TEMPORARY}{CURRENT}"
    link.symlink_to(generation)
    link.replace(root / CURRENT)
    _sync(root)


def _prune(root: Path, current: str) -> None:
    generations = sorted(p.name for p in root.iterdir() if GENERATION.fullmatch(p.name))
    for name in generations[:-KEEP_GENERATIONS]:
        if name != current:
            # It is renamed first: a half removed generation would look like a damaged one.
            doomed = (root / name).rename(root / f"{_TEMPORARY}{name}")
            shutil.rmtree(doomed)


def _sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
