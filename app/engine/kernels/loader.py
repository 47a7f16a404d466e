"""Compiles and loads our own C, and checks that C and Python agree on what they share.

There is one library. It is compiled once per machine, and looked for beside its source and in the
user's cache folder, under a name with the hash of source and flags, so that a stale one is never
loaded. Where there is none and a C compiler is installed, it is compiled; where there is none
either, `Unavailable` says so, and callers use numpy or ONNX Runtime instead. `python -m
app.engine.kernels.loader` compiles ahead of time, for an image without a compiler; that needs this
file and `c/`, and no package. A bundle never carries code.

What is loaded runs with all our rights. So a folder counts only if nobody else can change what lies
there: it and all folders above it belong to us, to root or to an owner of this code, and others
cannot write there (a folder like /tmp, where nobody can replace the files of others, may stand
above). The library ends with its seal, a hash of its name, its compiler and its bytes: one that was
cut off or changed is compiled again. The compiler is one of a fixed list, and gets none of our
environment: `PATH` does not decide what is run.

Each C file has one binding, the Python module of the same name. Both write down the structs,
tables and constants that they share; `bind` compares the two when a kernel is opened.
"""

import ctypes
import grp
import hashlib
import os
import platform
import pwd
import stat
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
_COMPILERS: Final = tuple(
    Path(folder, name)
    for folder in ("/usr/bin", "/usr/local/bin")
    for name in ("cc", "gcc", "clang")
)
# What the compiler itself looks up: the assembler and the linker of the system.
_COMPILER_PATH: Final = "/usr/bin:/bin"
_TIMEOUT_S: Final = 120
_NOWHERE: Final = Path(os.devnull)
_SEAL_BYTES: Final = 64  # a SHA-256 in hexadecimal
_PRIVATE: Final = 0o700
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
        Unavailable: another processor, or there is neither a compiled library nor a compiler, or no
            folder that is ours alone.
    """
    _require_processor()
    try:
        return ctypes.CDLL(str(compiled_library((FOLDER, cache_folder()))))
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


def compiled_library(folders: Sequence[Path]) -> Path:
    """Return the path of the sealed library in the first folder that has it.

    Where none has it, it is compiled into the first folder that can be written. A folder that
    others can change is passed over.

    Raises:
        Unavailable: there is none, and none can be made.
    """
    name = library_name()
    for folder in folders:
        if _is_whole(path := folder / name):
            return path.resolve()
    compiler = next(filter(_is_ours, _COMPILERS), None)
    if compiler is None:
        raise Unavailable("the kernel is not compiled, and there is no C compiler")
    reasons = []
    for folder in folders:
        try:
            folder.mkdir(_PRIVATE, parents=True, exist_ok=True)
            if (reason := why_not_ours(folder)) is None:
                return _compile(compiler, name, folder.resolve())
        except OSError as error:
            reason = f"{folder}: {error.strerror}"
        reasons.append(reason)
    raise Unavailable(
        f"the kernel is not compiled, and no folder for it can be used: {'; '.join(reasons)}"
    )


def why_not_ours(path: Path) -> str | None:
    """Return who else can change a file or folder, or what stands above it; None if nobody can.

    Raises:
        OSError: it cannot be looked at.
    """
    code, real = Path(__file__).resolve(), path.resolve(strict=True)
    # Who owns a folder above this file could put other code in its place.
    owners = {0, os.geteuid(), *(each.stat().st_uid for each in (code, *code.parents))}
    for each in (real, *real.parents):
        status = each.stat()
        if status.st_uid not in owners:
            return f"{each} belongs to user {status.st_uid}"
        # In a folder with the sticky bit nobody can rename or remove what belongs to others.
        if each != real and status.st_mode & stat.S_ISVTX:
            continue
        if status.st_mode & stat.S_IWOTH:
            return f"{each} can be written by everybody"
        if status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_gid):
            return f"{each} can be written by the group {status.st_gid}"
    return None


def _is_own_group(group: int) -> bool:
    """Tell whether a group is root's, or one that only we are in, as many systems make for a user.

    There, what a user makes can be written by the group.
    """
    if group == 0:
        return True
    try:
        user, entry = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return entry.gr_name == user.pw_name and set(entry.gr_mem) <= {user.pw_name}


def _is_ours(path: Path) -> bool:
    try:
        return why_not_ours(path) is None
    except OSError:
        return False


def _is_whole(path: Path) -> bool:
    """Tell whether there is a library that is ours and has its seal."""
    try:
        if why_not_ours(path) is not None:
            return False
        content = path.read_bytes()
    except OSError:
        return False
    return content[-_SEAL_BYTES:] == _seal(path.name, content[:-_SEAL_BYTES])


def _seal(name: str, content: bytes) -> bytes:
    """Return what stands at the end of a library, where the system's loader does not look."""
    return hashlib.sha256(name.encode() + b"\0" + content).hexdigest().encode()


def _compile(compiler: Path, name: str, folder: Path) -> Path:
    """Compile into a folder, and seal the library; return its path. Raises `OSError`."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".kernel-") as work:
        library = _run_compiler(compiler, Path(work) / name)
        with library.open("ab") as file:
            file.write(f"\ncompiled by {compiler.resolve()}\n".encode())
            file.flush()
            file.write(_seal(name, library.read_bytes()))
            file.flush()
            os.fsync(file.fileno())
        library.chmod(0o755)
        # Renamed when it is whole: another process may compile the same.
        made = library.replace(folder / name)
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
    return made


def _run_compiler(compiler: Path, to: Path) -> Path:
    sources = map(str, sorted(FOLDER.glob("*.c")))
    command = [str(compiler), *FLAGS, "-o", str(to), *sources, "-lm"]
    bare = {"PATH": _COMPILER_PATH, "TMPDIR": str(to.parent), "LC_ALL": "C"}
    try:
        subprocess.run(  # noqa: S603
            command, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S, env=bare
        )
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
