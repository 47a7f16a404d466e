"""New generations of a bundle for trials: copies that were changed before or after sealing."""

import json
import secrets
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from app.bundle.manifest import MANIFEST
from app.bundle.reader import CURRENT, UNSEALED, sealed, sha256_of, walk_files

Change = Callable[[Path], None]
"""Changes the files in the folder of a generation."""


class Generations:
    """A bundle of a trial's own: `folder/shop`, whose generations are copies of another bundle's.

    Attributes:
        root: the bundle folder.
        first: the name of the sound generation that it begins with.
    """

    def __init__(self, folder: Path, original: Path) -> None:
        self.root = folder / "shop"
        self._original = (original / CURRENT).resolve()
        self.first = self._original.name
        self.root.mkdir()
        shutil.copytree(self._original, self.root / self.first)
        self.point_to(self.first)

    def add(self, change: Change, *, before_sealing: bool = False, **facts: Any) -> str:  # noqa: ANN401
        """Add a generation and point `current` to it; return its name.

        Args:
            change: what is done to its files.
            before_sealing: whether the manifest has the sizes and checksums of the changed files.
            facts: fields of the manifest to set.
        """
        for other in self.root.glob("2*"):
            if other.name != self.first:  # refused, so nobody reads it any more
                shutil.rmtree(other)
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(4)}"
        folder = self.root / name
        shutil.copytree(self._original, folder)
        if before_sealing:
            change(folder)
        _seal(folder, facts)
        if not before_sealing:
            change(folder)
        self.point_to(name)
        return name

    def point_to(self, name: str) -> None:
        """Point `current` to a generation, in one step."""
        link = self.root / ".next"
        link.symlink_to(name)
        link.replace(self.root / CURRENT)

    def files(self, name: str) -> list[str]:
        """Return the names of all files of a generation, the manifest included."""
        return sorted(file for file, _ in walk_files(self.root / name))


def _seal(folder: Path, facts: dict[str, Any]) -> None:
    path = folder / MANIFEST
    fields = json.loads(path.read_text())
    fields["files"] = {
        name: {"bytes": size, "sha256": sha256_of(folder / name)}
        for name, size in walk_files(folder)
        if name != MANIFEST
    }
    for name, value in facts.items():
        fields[name] = fields[name] | value if isinstance(value, dict) else value
    fields |= {"generation": folder.name, "manifest_sha256": UNSEALED}
    path.write_text(sealed(json.dumps(fields)))


def with_tensor(
    file: str, tensor: str, change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
) -> Change:
    """Return the change that puts another array in the place of a tensor."""

    def changed(folder: Path) -> None:
        arrays = load_file(folder / file)
        array = np.ascontiguousarray(change(arrays[tensor].copy()))
        save_file(arrays | {tensor: array}, folder / file)

    return changed


def with_number(file: str, tensor: str, at: int, number: float) -> Change:
    """Return the change that sets one number of a tensor."""

    def put(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        array.reshape(-1)[at] = number
        return array

    return with_tensor(file, tensor, put)


def with_field(file: str, **fields: object) -> Change:
    """Return the change that sets fields of a JSON file."""

    def changed(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return changed
