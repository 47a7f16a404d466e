"""A steady load: each caller sends its next request once it has the answer to the one before.

Connections are kept for some requests, then another one is opened, as clients with a pool do.
"""

import threading
from collections import Counter
from http.client import HTTPException
from typing import Final, Self

from loadtest.chaos import catalogue
from loadtest.chaos.asking import Caller

_CALLERS: Final = 4
_A_CONNECTION: Final = 5
"""Requests that a caller sends on one connection."""


class SteadyLoad:
    """Callers in threads. Use as `with SteadyLoad(port) as load`; judge it afterwards.

    Attributes:
        outcomes: status, or the kind of failure -> how often.
    """

    def __init__(self, port: int, callers: int = _CALLERS) -> None:
        self.outcomes: Counter[int | str] = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(port, n)) for n in range(callers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def sent(self) -> int:
        """How many requests were sent."""
        return self.outcomes.total()

    @property
    def failed(self) -> int:
        """How many of them were not answered with 200."""
        return self.sent - self.outcomes[200]

    def told(self) -> str:
        """Return the failures in words, "" if there are none."""
        failures = [f"{n} × {what}" for what, n in self.outcomes.items() if what != 200]
        return f" ({', '.join(failures)})" if failures else ""

    def _ask(self, port: int, number: int) -> None:
        caller, queries, n = Caller(port), catalogue.queries(500, number), 0
        while not self._stop.is_set():
            n += 1
            try:
                # Half of them are computed, half may come from the cache; some go the longer way.
                if n % 5 == 0:
                    outcome: int | str = caller.call("GET", "/items/item-1").status
                else:
                    outcome = caller.recommend(query=queries[n % 500], k=5).status
            except (OSError, HTTPException) as error:
                outcome = type(error).__name__
                caller.close()
            self.outcomes[outcome] += 1
            if n % _A_CONNECTION == 0:
                caller.close()
        caller.close()
