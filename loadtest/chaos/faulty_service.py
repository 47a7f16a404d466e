"""Runs a command, usually the service, after parts of it were swapped for broken ones.

    python -m loadtest.chaos.faulty_service NAME[,NAME…] MODULE [ARGUMENT…]

A NAME is a module of `loadtest.chaos.faults` (a fault of ours, which a trial must find) or of
`loadtest.chaos.troubles` (what the world does to us in a trial). Each has `seed()`, which swaps the
part. MODULE is run as `python -m MODULE` would: `recserve` for the service, `pytest` for tests.
The service itself has no hook for this. Its workers start from this module too, so that they have
the same faults.
"""

import importlib
import importlib.util
import os
import runpy
import sys
from types import ModuleType
from typing import Final

_FOLDERS: Final = ("loadtest.chaos.faults", "loadtest.chaos.troubles")
_VARIABLE: Final = "CHAOS_SEEDED"


def module_of(name: str) -> ModuleType:
    """Return the module of a fault or a trouble.

    Raises:
        LookupError: there is none of that name.
    """
    for folder in _FOLDERS:
        if name.isidentifier() and importlib.util.find_spec(f"{folder}.{name}"):
            return importlib.import_module(f"{folder}.{name}")
    raise LookupError(f"no fault and no trouble has the name {name!r}")


def about(name: str) -> str:
    """Return the first sentence of what a module of a fault or a trouble says of itself."""
    return (module_of(name).__doc__ or "").partition("\n")[0]


def in_trials(name: str) -> None:
    """Let the process that tries a new bundle (`app.trial`) have a fault or a trouble as well."""
    from app import trial  # noqa: PLC0415 - of ours, only what a fault needs is imported

    trial.TRIAL = (sys.executable, "-m", "loadtest.chaos.faulty_service", name, "app.trial")


def _seed(names: str) -> None:
    # As `app.cli` does, before anything loads torch or FAISS.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name in names.split(","):
        module_of(name).seed()


if __name__ == "__mp_main__":
    _seed(os.environ[_VARIABLE])

if __name__ == "__main__":
    _names, _module, *_arguments = sys.argv[1:]
    os.environ[_VARIABLE] = _names
    _seed(_names)
    sys.argv = [_module, *_arguments]
    runpy.run_module(_module, run_name="__main__")
