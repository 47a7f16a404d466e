"""What checking an API key costs a cached answer on the short path, in this process.

    python -m loadtest.scenarios.key_cost [--bundle models/demo] [--rounds 60] [--times 2000]

Ways: no key at all; the header sent to a service that needs none; a key among 1,000; a key that is
bound to a namespace, and one to a scenario, too; a key with a limit that it does not reach. Each
round measures all ways, in an order that changes. Figures are medians of processor time; `more_us`
is the median of the differences to the first way, `check_us` that of a key to the header alone. The
exit code is 1 if a check costs more than 4 µs. Prints one JSON document.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from app.serving.access.key_ring import KeyRing
from app.serving.access.keys import new_key
from app.serving.access.limits import KeyLimits
from loadtest.runners import machine
from loadtest.runners.services import BUNDLE
from loadtest.runners.short_path import ShortPath, opened, request_of, summary

MOST_US: Final = 4.0
_KEYS: Final = 1000
_FIELDS: Final = {"query": "space adventure with robots", "k": 10}
_SCENARIO: Final = "home"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.key_cost", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--times", type=int, default=2000, help="requests of each way in a round")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measured(options.bundle, Path(folder), options.rounds, options.times))
    print(
        json.dumps({**found, "machine": machine.describe(), "commit": machine.commit()}, indent=2)
    )
    return 0 if found["check_us"] <= MOST_US else 1


async def measured(bundle: Path, folder: Path, rounds: int, times: int) -> dict[str, Any]:
    """Return the figures of all ways."""
    limited = KeyLimits(rate=1e6, burst=1_000_000)
    sent, key = new_key("read", "", 0.0)
    bound_sent, bound = new_key("read", "", 0.0, namespace="shopA")
    home_sent, home = new_key("read", "", 0.0, namespace="shopA", scenarios=[_SCENARIO])
    limited_sent, other = new_key("read", "", 0.0)
    more = [new_key("read", "", 0.0)[1] for _ in range(_KEYS - 4)]
    ring = KeyRing([key, bound, home, replace(other, limits=limited), *more])
    async with opened(bundle, folder) as service:
        await service.control.put_scenarios([(_SCENARIO, '{"k": 10}')])
        free, guarded = ShortPath(service), ShortPath(service, ring)
        ways = {
            "no key": (free, request_of(_FIELDS)),
            "header alone": (free, request_of(_FIELDS, _bearer(sent))),
            "key": (guarded, request_of(_FIELDS, _bearer(sent))),
            "key of a namespace": (guarded, request_of(_FIELDS, _bearer(bound_sent))),
            "key of a scenario": (guarded, request_of(_FIELDS, _bearer(home_sent))),
            "key with a limit": (guarded, request_of(_FIELDS, _bearer(limited_sent))),
        }
        for path, request in ways.values():
            await path.warm(request)
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for n in range(rounds):
            names = list(ways) if n % 2 else list(reversed(ways))
            for name in names:
                path, request = ways[name]
                spent[name].append(path.microseconds(request, times))
            await asyncio.sleep(0)  # the other tasks of the service
        for path in (free, guarded):
            path.close()
    found = summary(spent, "no key")
    check = summary({name: spent[name] for name in ("header alone", "key")}, "header alone")
    return {
        "ways": found,
        "check_us": check["key"]["more_us"],
        "keys": _KEYS,
        "rounds": rounds,
        "times": times,
    }


def _bearer(sent: str) -> dict[str, str]:
    return {"authorization": f"Bearer {sent}"}


if __name__ == "__main__":
    sys.exit(main())
