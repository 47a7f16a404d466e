"""Verifying and reading a bundle: an immutable folder of files with a manifest.

    models/NAME/current -> GENERATION
    models/NAME/GENERATION/manifest.json, items.safetensors, vectors.npy, …

Sizes and checksums are compared before any file but the manifest is parsed, so that no parser sees
a damaged file. Nothing is unpickled: arrays are safetensors, or `.npy` without objects.
`app.bundle.writer` writes bundles. This module does not know what arrays mean.

Files up to `MOST_READ` bytes are read into memory of our own. Larger ones are mapped, so that
processes share them and the system may take their memory back. A mapped file has a price: if
somebody shortens it in place, the next read of what is gone ends the process (SIGBUS), and if
somebody writes into it, what was verified is no longer true. Nothing of ours does either; files of
a generation never change.
"""

import hashlib
import json
import mmap
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from app.bundle.manifest import GENERATION, MANIFEST, Manifest
from app.core.bounds import is_plain
from app.core.errors import BundleError
from app.core.types import Matrix

FORMAT_VERSION = 4
CURRENT = "current"
UNSEALED = "0" * 64

MOST_READ = 128 * 1024 * 1024
"""Bytes of the largest file that is read and not mapped."""

_MAX_MANIFEST_BYTES = 16 * 1024 * 1024
_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I8": np.int8,
    "U8": np.uint8,
}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle: the folder of one generation, and its manifest."""

    path: Path
    manifest: Manifest


def open_bundle(path: Path) -> Bundle:
    """Verify `models/NAME` (its `current` generation) or `models/NAME/GENERATION`.

    Every byte is read once, to compare the checksums.

    Raises:
        BundleError: there is no bundle, or it is damaged, incomplete or of another format.
    """
    try:
        folder = _generation_folder(path)
        manifest = _read_manifest(folder)
        if manifest.generation != folder.name:
            raise BundleError("the manifest belongs to another generation than its folder")
        _verify_files(folder, manifest)
    except OSError as error:
        raise BundleError(f"the bundle {path.name!r} cannot be read: {error.strerror}") from error
    return Bundle(folder, manifest)


def read_bundle(path: Path) -> Bundle:
    """Return the bundle at a path as `open_bundle` does, but compare no checksums of its files.

    For reports on a bundle that serves, and so was verified.

    Raises:
        BundleError: there is no bundle, or its manifest is damaged or of another format.
    """
    try:
        folder = _generation_folder(path)
        return Bundle(folder, _read_manifest(folder))
    except OSError as error:
        raise BundleError(f"the bundle {path.name!r} cannot be read: {error.strerror}") from error


def bundle_name(path: Path) -> str:
    """Return the name of the bundle at `models/NAME` or `models/NAME/GENERATION`, unverified.

    It is that in the manifest, so that a folder that was moved keeps its name. Where there is no
    bundle, it is that of the folder.
    """
    try:
        return _read_manifest(_generation_folder(path)).name
    except (OSError, BundleError):
        folder = path.resolve()
        return (folder.parent if GENERATION.fullmatch(folder.name) else folder).name


def load_arrays(bundle: Bundle, name: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a safetensors file of the bundle, read-only.

    Raises:
        BundleError: the bundle has no such file, or it is malformed.
    """
    path = file_of(bundle, name)
    try:
        return read_tensors(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise BundleError(f"the bundle file {name} is malformed") from error


def file_of(bundle: Bundle, name: str) -> Path:
    """Return the path of a verified file. Raises `BundleError` if the bundle lacks it."""
    if name not in bundle.manifest.files:
        raise BundleError(f"the bundle lacks its file {name!r}")
    return bundle.path / name


def load_vectors(bundle: Bundle, name: str = "vectors.npy") -> Matrix:
    """Return float32[n_items, dim], read-only.

    Raises:
        BundleError: it is missing, malformed, or of another shape than the manifest says.
    """
    path = file_of(bundle, name)
    try:
        mapped = path.stat().st_size > MOST_READ
        vectors: Matrix = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        vectors.flags.writeable = False
    except (OSError, ValueError) as error:
        raise BundleError(f"the bundle file {name} is malformed") from error
    manifest = bundle.manifest
    if not is_plain(vectors, np.float32, manifest.n_items, manifest.encoder.dim):
        raise BundleError(f"the bundle file {name} has another shape than the manifest says")
    return vectors


def sealed(text: str) -> str:
    """Return the text of a manifest with its own checksum in the place of `UNSEALED`."""
    before, _, after = text.rpartition(UNSEALED)
    return before + hashlib.sha256(text.encode()).hexdigest() + after


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _generation_folder(path: Path) -> Path:
    if (path / MANIFEST).is_file():
        return path.resolve()
    link = path / CURRENT
    if not link.is_symlink():
        raise BundleError(
            f"there is no bundle {path.name!r}: build one with `recserve demo`, or with "
            f"`recserve build --items FILE --out models/{path.name or 'NAME'}`"
        )
    target = str(link.readlink())
    if not GENERATION.fullmatch(target) or not (path / target / MANIFEST).is_file():
        raise BundleError(f"`current` of the bundle {path.name!r} does not point to a generation")
    return path.resolve() / target


def rebuild_command(folder: Path) -> str:
    """Return the command that builds a bundle again, given the folder of one generation.

    It names no folder above the bundle: callers of the API see it too.

    >>> rebuild_command(Path("models/shop/20261124T000000000000Z-00000000"))
    'recserve build --items FILE --out models/shop'
    """
    return f"recserve build --items FILE --out models/{folder.parent.name}"


def _read_manifest(folder: Path) -> Manifest:
    with (folder / MANIFEST).open("rb") as file:
        raw = file.read(_MAX_MANIFEST_BYTES + 1)
    if len(raw) > _MAX_MANIFEST_BYTES:
        raise BundleError("the manifest of the bundle is too large")
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BundleError("the manifest of the bundle is not JSON") from error
    # The version is checked first: a manifest of another format may have other fields.
    version = parsed.get("format_version") if isinstance(parsed, dict) else None
    if version != FORMAT_VERSION:
        raise BundleError(
            f"the bundle has format {version!r}, not {FORMAT_VERSION}: build it again with "
            f"`{rebuild_command(folder)}`"
        )
    try:
        manifest = Manifest.model_validate(parsed)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise BundleError(
            f"the manifest of the bundle is wrong at {where!r}: build it again with "
            f"`{rebuild_command(folder)}`"
        ) from error
    unsealed = raw.replace(manifest.manifest_sha256.encode(), UNSEALED.encode())
    if hashlib.sha256(unsealed).hexdigest() != manifest.manifest_sha256:
        raise BundleError("the manifest of the bundle was changed after it was written")
    return manifest


def _verify_files(folder: Path, manifest: Manifest) -> None:
    """Compare the folder with the manifest: first all names and sizes, because that is cheap."""
    found = {name: size for name, size in walk_files(folder) if name != MANIFEST}
    for name in manifest.files.keys() | found.keys():
        if name not in found:
            raise BundleError(f"the bundle lacks its file {name!r}")
        if name not in manifest.files:
            raise BundleError(f"the bundle has a file that its manifest does not name: {name!r}")
        if found[name] != manifest.files[name].bytes:
            raise BundleError(f"the bundle file {name!r} has another size than its manifest says")
    for name, facts in manifest.files.items():
        if sha256_of(folder / name) != facts.sha256:
            raise BundleError(
                f"the bundle file {name!r} has another checksum than its manifest says"
            )


def walk_files(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield (relative path, size in bytes) of all files below a folder.

    Raises:
        BundleError: an entry is neither a file nor a folder; links are refused.
    """
    pending = [folder]
    while pending:
        for entry in pending.pop().iterdir():
            status = entry.lstat()
            if stat.S_ISDIR(status.st_mode):
                pending.append(entry)
            elif stat.S_ISREG(status.st_mode):
                yield entry.relative_to(folder).as_posix(), status.st_size
            else:
                raise BundleError(f"the bundle has an entry that is no file: {entry.name!r}")


def read_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a safetensors file by name, read-only.

    Raises:
        SafetensorError, OSError, ValueError, KeyError: the file is missing or malformed.
    """
    with safe_open(path, framework="numpy"):  # the library checks the header
        pass
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        tensors = json.loads(file.read(start - 8))
        tensors.pop("__metadata__", None)
        mapped = os.fstat(file.fileno()).st_size > MOST_READ
        bytes_of = _from_map(file, start) if mapped else partial(_from_file, file, start)
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, info in tensors.items():
            first, last = info["data_offsets"]
            array = bytes_of(first, last).view(_DTYPES[info["dtype"]]).reshape(info["shape"])
            if not array.flags.aligned:  # the library aligns them; C takes it for granted
                raise ValueError(f"the tensor {name} lies at an odd address")
            array.flags.writeable = False
            arrays[name] = array
    return arrays


def _from_map(file: BufferedReader, start: int) -> Callable[[int, int], npt.NDArray[np.uint8]]:
    view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return lambda first, last: np.frombuffer(view[start + first : start + last], np.uint8)


def _from_file(file: BufferedReader, start: int, first: int, last: int) -> npt.NDArray[np.uint8]:
    # An array for each tensor: those that nobody keeps are freed.
    array = np.empty(last - first, np.uint8)
    file.seek(start + first)
    if file.readinto(array.data) != len(array):
        raise ValueError("the file is shorter than it says")
    return array
