"""Compiles and loads our own C, and checks that C and Python agree on what they share.

There is one library. It is compiled once per machine, and looked for beside its source and in the
user's cache folder, under a name with the hash of source and flags, so that a stale one is never
loaded. Where there is none and a C compiler is installed, it is compiled; where there is none
either, `Unavailable` says so, and callers use numpy or ONNX Runtime instead. `python -m
app.engine.kernels.loader` compiles ahead of time, for an image without a compiler; that needs this
file and `c/`, and no package. A bundle never carries code.

Each C file has one binding, the Python module of the same name. Both write down the structs,
tables and constants that they share; `bind` compares the two when a kernel is opened.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:  # numpy may be missing where this file is run to compile
    import numpy.typing as npt

Signature: TypeAlias = tuple[Any, Sequence[Any]]
"""Of a C function: the ctypes type of its result (None = void), those of its arguments."""

FOLDER: Final = Path(__file__).parent / "c"
# Not -march=native: the library may run on another machine than the one that compiled it.
FLAGS: Final = ("-std=gnu11", "-O2", "-mavx2", "-mfma", "-mf16c", "-shared", "-fPIC", "-pthread")
_COMPILERS: Final = ("cc", "gcc", "clang")
_TIMEOUT_S: Final = 120
_NOWHERE: Final = Path(os.devnull)
_WORD_BYTES: Final = 8


class Unavailable(Exception):  # noqa: N818 - not an error: the caller has another way
    """The library cannot run here; the message says why."""


class KernelMismatch(Exception):  # noqa: N818 - named for what it says
    """A C file and its binding disagree on what they share: one was changed without the other."""


class _Shared(ctypes.Structure):
    """`Shared` in `c/shared.h`."""

    _fields_ = [("name", ctypes.c_char_p), ("value", ctypes.c_int64)]


def load_library() -> ctypes.CDLL:
    """Return the compiled library; `bind` declares the functions of a kernel in it.

    Raises:
        Unavailable: another processor, or there is neither a compiled library nor a compiler.
    """
    _require_processor()
    name = library_name()
    folders = (FOLDER, cache_folder())
    try:
        compiled = next((f / name for f in folders if (f / name).is_file()), None)
        return ctypes.CDLL(str(compiled or _compile(name, folders)))
    except OSError as error:
        raise Unavailable(f"the kernel cannot be loaded ({error})") from error


def bind(
    library: ctypes.CDLL,
    kernel: str,
    functions: Mapping[str, Signature],
    shared: Mapping[str, int],
) -> None:
    """Declare the functions of a kernel, so that they take plain integers, and check `shared`.

    With declared types a call takes a fifth less time than with a ctypes object an argument.

    Args:
        library: as `load_library` returns it.
        kernel: name of the C file, which exports its list as `<kernel>_shared`.
        functions: signatures by name.
        shared: what Python says of structs, tables and constants, by name: `struct_layout`,
            `table_layout` and plain numbers.

    Raises:
        KernelMismatch: C says something else, less, or more.
    """
    in_c = dict(_shared_values(library, kernel))
    differ = sorted(n for n in in_c.keys() | shared.keys() if in_c.get(n) != shared.get(n))
    if differ:
        details = ", ".join(f"{n} ({in_c.get(n)} in C, {shared.get(n)} in Python)" for n in differ)
        raise KernelMismatch(f"the kernel {kernel} does not fit its binding: {details}")
    for name, (result, arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments


def struct_layout(*structs: type[ctypes.Structure]) -> dict[str, int]:
    """Return the size in bytes of each struct and the offset of each field: `Name`, `Name.field`.

    A leading underscore of a name is left out: C has none.
    """
    layout = {}
    for struct in structs:
        name = struct.__name__.removeprefix("_")
        layout[name] = ctypes.sizeof(struct)
        for field, *_ in struct._fields_:
            layout[f"{name}.{field}"] = getattr(struct, field).offset
    return layout


def table_layout(name: str, columns: Sequence[str]) -> dict[str, int]:
    """Return the same for a struct that is a line of an int64 table.

    >>> table_layout("List", ("rows", "n"))
    {'List': 16, 'List.rows': 0, 'List.n': 8}
    """
    offsets = {f"{name}.{column}": _WORD_BYTES * n for n, column in enumerate(columns)}
    return {name: _WORD_BYTES * len(columns), **offsets}


def address(array: "npt.NDArray[Any]") -> int:
    """Return the address of a contiguous array, for a C function; any number for an empty one.

    Every call asks for the addresses of all its arrays, and `array.ctypes.data` takes longer.
    """
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    except (TypeError, ValueError):  # read-only, as the arrays of a bundle are, or empty
        return array.ctypes.data


def library_name() -> str:
    """Return the file name of the library that belongs to this source."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for path in sorted(FOLDER.glob("*.[ch]")):
        digest.update(path.read_bytes())
    return f"kernel-{digest.hexdigest()[:16]}.so"


def cache_folder() -> Path:
    """Return the user's folder for what can be made again, `~/.cache/recserve`; it may be missing.

    An absolute `XDG_CACHE_HOME` replaces `~/.cache`. For a user without a home the folder is one
    that nobody can make: code must not be loaded from wherever a command was started.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        base = Path(os.path.expanduser("~"), ".cache")  # noqa: PTH111 - Path's own raises
    return (base if base.is_absolute() else _NOWHERE) / "recserve"


def _shared_values(library: ctypes.CDLL, kernel: str) -> Iterator[tuple[str, int]]:
    entries = ctypes.pointer(_Shared.in_dll(library, f"{kernel}_shared"))
    for n in count():
        if entries[n].name is None:  # the end of the list
            return
        yield entries[n].name.decode(), entries[n].value


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
                library = _run_compiler(compiler, Path(work) / name)
                # Renamed when it is whole: another process may compile the same.
                return library.replace(folder / name)
        except OSError:
            continue
    raise Unavailable("the kernel is not compiled, and no folder for it can be written")


def _run_compiler(compiler: str, to: Path) -> Path:
    sources = map(str, sorted(FOLDER.glob("*.c")))
    command = [compiler, *FLAGS, "-o", str(to), *sources, "-lm"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)  # noqa: S603
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
