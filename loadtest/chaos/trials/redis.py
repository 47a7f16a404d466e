"""Trials of a Redis that is down, slow, silent, lying, half-closed or full."""

from collections import Counter
from typing import Final

from loadtest.chaos import catalogue
from loadtest.chaos.asking import Caller
from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial


def cache_down(rig: Rig) -> Measured:
    """Take the shared cache down, and ask."""
    proxy = rig.proxy(rig.redis())
    service = rig.serve("--cache-url", proxy.url)
    caller = Caller(service.port)
    queries = catalogue.queries(60)
    proxy.down()
    answers = [caller.recommend(query=query) for query in queries]
    statuses = Counter(answer.status for answer in answers)
    declared = sum(answer.headers.get("x-cache") == "error" for answer in answers)
    caller.close()
    return Measured(
        statuses[200] == len(queries) and declared == len(queries),
        f"{len(queries)} requests while it was down: {statuses[200]} answered, "
        f"{declared} with `X-Cache: error`",
    )


TRIALS: Final = (
    Trial(
        name="redis.cache_down",
        requirements=(12,),
        promise="requests are answered while the shared cache is down, and say so",
        pass_line="no 5xx, each answer with `X-Cache: error`",
        run=cache_down,
        faults=("cache_trouble_is_an_error",),
        short=True,
    ),
)
