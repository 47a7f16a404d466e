"""What rules cost a cached answer on the short path, in this process.

    python -m loadtest.scenarios.rule_cost [--bundle models/demo] [--rounds 30] [--times 2000]

Ways: no rules; 10 and 100 rules for other words; 10 and 100 rules for the first word of the query;
and 10 that always apply. In each round the rules of every way are put, and a cached answer is timed
with them. Figures are medians of processor time; `more_us` is the median of the differences to the
first way. Prints one JSON document.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from app.domain.rule import Rule
from loadtest.runners import machine
from loadtest.runners.services import BUNDLE
from loadtest.runners.short_path import ShortPath, opened, request_of, summary

_FIELDS: Final = {"query": "space adventure with robots", "k": 10}
_WAYS: Final = {
    "no rules": (0, None),
    "10 for other words": (10, "unheard-of"),
    "100 for other words": (100, "unheard-of"),
    "10 for its first word": (10, "space"),
    "100 for its first word": (100, "space"),
    "10 that always apply": (10, ""),
}
"""Name -> number of rules, and the word that they are for; "" = any request."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.rule_cost", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--times", type=int, default=2000, help="requests of each way in a round")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        ways = asyncio.run(measured(options.bundle, Path(folder), options.rounds, options.times))
    found = {"ways": ways, "rounds": options.rounds, "times": options.times}
    found |= {"machine": machine.describe(), "commit": machine.commit()}
    print(json.dumps(found, indent=2))


async def measured(
    bundle: Path, folder: Path, rounds: int, times: int
) -> dict[str, dict[str, float]]:
    """Return the figures of all ways."""
    spent: dict[str, list[float]] = {name: [] for name in _WAYS}
    request = request_of(_FIELDS)
    async with opened(bundle, folder) as service:
        path = ShortPath(service)
        for n in range(rounds):
            for name in list(_WAYS) if n % 2 else reversed(_WAYS):
                await service.control.delete_rules(None)
                await service.control.put_rules(_rules(*_WAYS[name]))
                await path.warm(request)
                spent[name].append(path.microseconds(request, times))
        path.close()
    return summary(spent, "no rules")


def _rules(n: int, word: str | None) -> list[Rule]:
    when: dict[str, Any] = {"when": {"query": {"prefix": word}}} if word else {}
    boost = {"filter": {"published_at": {"gte": 2000}}, "weight": 0.01}
    return [Rule.model_validate({"id": f"rule-{i}", **when, "boost": boost}) for i in range(n)]


if __name__ == "__main__":
    main()
