"""Our own C: compiled once per machine, loaded, or a reason why not.

The library is looked for beside its source, then in the user's cache folder, under a name that
holds the hash of source and flags, so that a stale one is never loaded. Where it is in neither and
a C compiler is at hand, it is compiled. `python -m app.engine.kernels.loader` does that ahead of
time, for an image without a compiler. A bundle never carries code.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # an image compiles this file's kernel where nothing is installed yet
    import numpy.typing as npt

FOLDER = Path(__file__).parent / "c"
# Not -march=native: the file may be used on another machine than compiled it.
FLAGS = ("-std=gnu11", "-O2", "-mavx2", "-mfma", "-mf16c", "-shared", "-fPIC", "-pthread")
_COMPILERS = ("cc", "gcc", "clang")
_SECONDS = 120
_NOWHERE = Path(os.devnull)


class Unavailable(Exception):  # noqa: N818 - not an error: the caller has another way
    """The kernel cannot run here; the message says why."""


def load_library() -> ctypes.CDLL:
    """Return the compiled kernel.

    Raises:
        Unavailable: another processor, or neither a compiled kernel nor a compiler is here.
    """
    _require_processor()
    name = library_name()
    folders = (FOLDER, cache_folder())
    try:
        found = next((f / name for f in folders if (f / name).is_file()), None)
        return ctypes.CDLL(str(found or _compile(name, folders)))
    except OSError as error:
        raise Unavailable(f"the kernel cannot be loaded ({error})") from error


def address(array: "npt.NDArray[Any]") -> int:
    """Return where a contiguous array lies; anything for an empty one.

    Each call of ours asks it of all its arrays, and numpy's own `array.ctypes.data` takes longer.
    """
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    except (TypeError, ValueError):  # not to be written, as what a bundle maps; or empty
        return array.ctypes.data


def pointer(array: "npt.NDArray[Any]") -> ctypes.c_void_p:
    """Return `address`, for an argument."""
    return ctypes.c_void_p(address(array))


def library_name() -> str:
    """Return the file name of the library that belongs to this source."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for path in sorted(FOLDER.glob("*.[ch]")):
        digest.update(path.read_bytes())
    return f"kernel-{digest.hexdigest()[:16]}.so"


def cache_folder() -> Path:
    """Return the user's folder for what can be made again, `~/.cache/recserve`; it may be missing.

    An absolute `XDG_CACHE_HOME` takes the place of `~/.cache`. For a user without a home it is a
    folder that nobody can make: code must not be loaded from wherever a command was started.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        base = Path(os.path.expanduser("~"), ".cache")  # noqa: PTH111 - Path's own raises
    return (base if base.is_absolute() else _NOWHERE) / "recserve"


def _require_processor() -> None:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Unavailable("the kernel is for x86-64 Linux")
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("flags")[2]
    missing = {"avx2", "fma", "f16c"} - set(flags.partition("\n")[0].split())
    if missing:
        raise Unavailable(f"the processor lacks {', '.join(sorted(missing))}")


def _compile(name: str, folders: tuple[Path, ...]) -> Path:
    """Compile into the first folder that can be written."""
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise Unavailable("the kernel is not compiled, and there is no C compiler")
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".kernel-") as work:
                made = _run(compiler, Path(work) / name)
                return made.replace(folder / name)  # whole or not at all, also beside another
        except OSError:
            continue
    raise Unavailable("the kernel is not compiled, and no folder for it can be written")


def _run(compiler: str, to: Path) -> Path:
    sources = map(str, sorted(FOLDER.glob("*.c")))
    command = [compiler, *FLAGS, "-o", str(to), *sources, "-lm"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)  # noqa: S603
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"the kernel does not compile: {error.stderr.strip()[:500]}") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable("compiling the kernel took too long") from error
    return to


if __name__ == "__main__":
    try:
        _require_processor()
    except Unavailable as why:
        print(f"not compiled: {why}")  # noqa: T201 - run as a command
    else:
        load_library()
