"""JSON that every reader reads alike, and that is not too much to read.

The validation library takes more than the standard allows: a name that comes twice in an object,
where another reader may take the other value, and NaN. And it reads all of a body, and notes every
mistake in it, before it says anything. The event loop waits meanwhile, and with it all callers. So
a body is counted before it is read.
"""

import json
from typing import Any, Final

from app.core.errors import InvalidRequestError

MAX_VALUES: Final = 65_536
"""Most values of a body, counted by its commas and brackets, those in texts as well."""

_SHORT: Final = 16_384
"""Bytes of a body that cannot hold enough values to matter."""


def check_size(body: bytes) -> None:
    """Refuse a body with too many values; this takes no time to speak of.

    Raises:
        InvalidRequestError: more than `MAX_VALUES`.
    """
    if len(body) > _SHORT and sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise InvalidRequestError(f"a body may have at most {MAX_VALUES:,} values")


def check_names(body: bytes, n_known: int, *, with_nan: bool = False) -> None:
    """Refuse a body that is JSON for the validation library, and not for every reader.

    Args:
        body: what was read.
        n_known: names of fields that were found in the body. If it has no more colons than that,
            each is there once, and none has an object of its own: so the usual request pays next to
            nothing.
        with_nan: NaN is refused later, with the entry that has it, and not the whole body.

    Raises:
        InvalidRequestError: a name comes twice in an object, or a number is none, such as NaN.
    """
    if body.count(b":") == n_known:
        return
    try:
        (_WITH_NAN if with_nan else _DECODER).decode(body.decode())
    except RecursionError:
        raise InvalidRequestError("the body is nested too deeply") from None
    except ValueError as error:  # the other readers have their own words for it
        raise InvalidRequestError(f"this is no JSON: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> None:
    names = {name for name, _ in pairs}
    if len(names) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                shown = name[:_MOST_SHOWN]
                raise InvalidRequestError(f"the name {shown!r} comes twice in an object")
            seen.add(name)


def _no_number(text: str) -> None:
    raise InvalidRequestError(f"{text} is no number in JSON")


_MOST_SHOWN: Final = 64
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number)
_WITH_NAN: Final = json.JSONDecoder(object_pairs_hook=_object)
