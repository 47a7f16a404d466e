"""Our own package: how another process starts its modules, and which extra brings a package."""

import re
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).resolve().parents[1]
_REQUIREMENT: Final = re.compile(r"""([A-Za-z0-9._-]+).*;.*\bextra\s*==\s*['"]([\w-]+)['"]""")
_PREFERRED: Final = ("train", "multilingual")
"""Of several extras with one package, the first of these is named."""


def python_module(module: str) -> tuple[str, ...]:
    """Return the command that runs a module of ours in another Python process.

    With `-m`, Python looks into the working folder first. It may have another package `app`.
    """
    ours = Path("app").resolve() == _FOLDER
    return (sys.executable, *(() if ours else ("-P",)), "-m", module)


def missing_package(module: str | None) -> str:
    """Return what to say when a package cannot be imported: which extra brings it.

    `module`: as `ModuleNotFoundError.name` says it, such as "torch" or "scipy.sparse".
    """
    package = (module or "").partition(".")[0]
    extra = extra_of(package)
    if extra is None:
        return f"the package {package!r} is missing: install recserve again"
    return f"the package {package!r} is missing: pip install 'recserve[{extra}]'"


def extra_of(package: str, listed: Sequence[str] | None = None) -> str | None:
    """Return the extra that brings a package, by the name of its import; None if none does.

    `listed`: requirements as the metadata of a package list them; None = those of ours.
    """
    try:
        listed = requires("recserve") or () if listed is None else listed
    except PackageNotFoundError:  # a checkout that is not installed
        return "train"
    extras = [
        match[2]
        for match in map(_REQUIREMENT.fullmatch, listed)
        if match is not None and re.sub(r"[.-]", "_", match[1]).lower() == package.lower()
    ]
    return min(extras, key=lambda name: name not in _PREFERRED, default=None)
