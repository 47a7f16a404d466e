"""Names of settings that nobody knows: a misspelt one must not be passed over in silence."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from app.core.errors import UsageError
from app.core.settings import Settings

_PREFIX: Final = "RECSERVE_"
_OTHERS: Final = ("CONFIG", "SHARED", "REQUIRE_DATA", "COMPOSE")
"""Variables that are no settings: the file of settings, and those of the tests."""
_ALIKE: Final = 0.7


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that is most like `name`; None if none is much like it.

    >>> nearest("--prot", ["--port", "--host"])
    '--port'
    """
    bare = {each.lstrip("-"): each for each in names}
    found = get_close_matches(name.lstrip("-"), bare, 1, _ALIKE)
    return bare[found[0]] if found else None


def check_variables(environment: Mapping[str, str]) -> list[str]:
    """Return a line for each `RECSERVE_…` variable that is not ours and like none of ours.

    Raises:
        UsageError: one is like one of ours, so it is misspelt.
    """
    known = [*(name.upper() for name in Settings.model_fields), *_OTHERS]
    foreign = []
    for variable in sorted(environment):
        name = variable.upper().removeprefix(_PREFIX)
        if not variable.upper().startswith(_PREFIX) or name in known:
            continue
        if (near := nearest(name, known)) is not None:
            raise UsageError(f"there is no {variable}: did you mean {_PREFIX}{near}?")
        foreign.append(f"{variable} is no setting of recserve")
    return foreign
