"""Trials of items that change while they are searched."""

import threading
from collections import Counter
from typing import Final

from loadtest.chaos import catalogue
from loadtest.chaos.asking import Caller
from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial
from loadtest.runners.services import Service

_PAIR: Final = ("pair-left", "pair-right")
_READERS: Final = 4


def one_generation(rig: Rig) -> Measured:
    """Change two items in one call, again and again, while many ask for both."""
    service = rig.serve("--cache-local-bytes", "0")
    writer, stop = Caller(service.port), threading.Event()
    number = 150 if rig.short else 1000
    _put(writer, 0)
    counted = [Counter[str]() for _ in range(_READERS)]  # each thread has its own
    readers = [
        threading.Thread(target=_read, args=(service, stop, counts, seed))
        for seed, counts in enumerate(counted)
    ]
    for reader in readers:
        reader.start()
    changed = sum(_put(writer, price) for price in range(1, number + 1))
    stop.set()
    for reader in readers:
        reader.join()
    ready = writer.call("GET", "/readyz").status
    writer.close()
    counts = sum(counted, Counter[str]())
    good = changed == number and counts["read"] > number / 10 and ready == 200
    return Measured(
        good and not counts["torn"] and not counts["failed"],
        f"{changed} changes of two items, {counts['read']} answers with both meanwhile: "
        f"{counts['torn']} with one old and one new, {counts['failed']} failed",
    )


def _put(caller: Caller, price: int) -> bool:
    items = [
        {"id": name, "title": f"Oak desk {name}", "categories": ["desk"], "price": price}
        for name in _PAIR
    ]
    return caller.call("PUT", "/items", items).status == 200


def _read(service: Service, stop: threading.Event, counts: Counter[str], seed: int) -> None:
    caller = Caller(service.port)
    queries = catalogue.queries(50, seed=seed)
    while not stop.is_set():
        for query in queries:
            answer = caller.recommend(
                query=query, candidates=list(_PAIR), fields=["price"], k=2, personalize=False
            )
            if answer.status != 200:
                counts["failed"] += 1
                continue
            prices = {item["fields"]["price"] for item in answer.body["items"]}
            counts["read"] += 1
            counts["torn"] += len(prices) != 1
    caller.close()


TRIALS: Final = (
    Trial(
        name="changes.one_generation",
        requirements=(24,),
        promise="each answer comes from one generation of the items",
        pass_line="two items that always change together: 0 answers with one old and one new",
        run=one_generation,
        faults=("changes_torn",),
        short=True,
    ),
)
