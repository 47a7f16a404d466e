"""Nothing bounds the values of a body, or the errors told of it; a name may come twice."""

import json

from app.api import problems
from app.core import strict_json
from app.domain import filters


def seed() -> None:
    """Take away the bounds."""
    strict_json._DECODER, strict_json._WITH_NAN  # noqa: B018, SLF001 - they must exist
    strict_json.MAX_VALUES, filters.MAX_ALL_VALUES, problems._MOST_TOLD  # noqa: B018, SLF001
    strict_json._DECODER = strict_json._WITH_NAN = json.JSONDecoder()  # noqa: SLF001
    strict_json.MAX_VALUES = filters.MAX_ALL_VALUES = 10**9
    problems._MOST_TOLD = 10**9  # noqa: SLF001
