"""Trials of limits and fair shares: what a call costs, and that no key takes what others need."""

import asyncio
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from app.commands.keys import added
from app.serving.access.key_file import KeyFile
from app.serving.access.keys import Role
from app.serving.access.limits import KeyLimits, Priority
from loadtest.chaos import catalogue
from loadtest.chaos.asking import PATIENT_MS, Caller, at_once
from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial

_SLOW_RATE: Final = 0.001
_BURST: Final = 96
_BATCH: Final = 32

_PENDING: Final = 8
_FLOOD: Final = 24
"""Connections of a key that floods, each of which asks again at once."""

_STATUS: Final = defaultdict(lambda: 500, {None: 200, "overloaded": 429, "deadline_exceeded": 504})
"""By the code of an error in a batch."""

_CALM_PER_S: Final = 5
_CALM_SHARE: Final = 0.99

_RATE: Final = 40
_SHARED_BURST: Final = 20
_LATE_S: Final = 0.5
"""Processes tell each other ten times a second what was spent; a busy machine is later."""


class _Keys:
    """A file of keys for one trial."""

    def __init__(self, rig: Rig) -> None:
        self.path: Path = rig.folder / "keys.json"

    def add(
        self,
        role: Role = "read",
        limits: KeyLimits | None = None,
        priority: Priority | None = None,
    ) -> dict[str, str]:
        """Add a key, and return the header with which it is sent."""
        keys, limits = KeyFile(self.path), limits or KeyLimits()
        sent, _ = asyncio.run(added(keys, role, "", limits=limits, priority=priority))
        return {"authorization": f"Bearer {sent}"}


def cost(rig: Rig) -> Measured:
    """Send the same work as batches, one by one, as shelves, as items and as events."""
    keys = _Keys(rig)
    limited = KeyLimits(_SLOW_RATE, _BURST)
    queries = catalogue.queries(_BATCH)
    asks = [{"query": query, "k": 1, "budget_ms": PATIENT_MS} for query in queries]
    shelves = [{"name": f"s{n}", "query": query} for n, query in enumerate(queries[:16])]
    events = [{"user_id": f"u{n}", "item_id": "1", "type": "view"} for n in range(_BATCH)]
    items = [{"id": f"n{n}", "title": "a chair"} for n in range(_BATCH)]
    forms: dict[str, tuple[str, str, object, int]] = {
        "single": ("POST", "/recommend", asks[0], 1),
        "batches": ("POST", "/recommend/batch", {"requests": asks}, _BATCH),
        "shelves": ("POST", "/shelves", {"shelves": shelves}, len(shelves)),
        "items": ("PUT", "/items", {"items": items}, _BATCH),
        "events": ("POST", "/events", {"events": events}, _BATCH),
    }
    headers = {form: keys.add("write", limited) for form in forms}
    service = rig.serve("--api-keys-file", str(keys.path))
    through = {}
    for form, (method, path, body, each) in forms.items():
        caller = Caller(service.port, headers[form])
        tries = _BURST // each + 2
        statuses = Counter(caller.call(method, path, body).status for _ in range(tries))
        caller.close()
        through[form] = each * statuses[200] if statuses[429] == 2 else -1
    said = ", ".join(f"{units} as {form}" for form, units in through.items())
    return Measured(set(through.values()) == {_BURST}, f"of {_BURST} units: {said}")


def admission(rig: Rig) -> Measured:
    """Send 32 requests at once to a queue of 8, one by one and as one batch."""
    service = rig.serve(
        *("--max-pending-requests", str(_PENDING), "--max-batch-requests", "1"),
        under=["slow_engine"],
    )
    asks = [
        {"query": query, "budget_ms": PATIENT_MS} for query in catalogue.queries(2 * _BATCH, seed=7)
    ]
    singles = [answer.status for answer in at_once(service.port, asks[:_BATCH])]
    caller = Caller(service.port)
    batch = caller.call("POST", "/recommend/batch", {"requests": asks[_BATCH:]})
    caller.close()
    codes = [each.get("error", {}).get("code") for each in batch.body["results"]]
    admitted = singles.count(200), codes.count(None)
    refused = singles.count(429), codes.count("overloaded")
    # Beside the queue, one is in a pass, and another may be handed to the thread of passes.
    bounded = all(_PENDING <= n <= _PENDING + 2 for n in admitted)
    whole = all(a + r == _BATCH for a, r in zip(admitted, refused, strict=True))
    return Measured(
        bounded and whole,
        f"of {_BATCH} sent to a queue of {_PENDING}: {admitted[0]} answered one by one, "
        f"{admitted[1]} as a batch; all others refused",
    )


def _flood(port: int, header: dict[str, str], over: threading.Event, batch: int) -> Counter[int]:
    """Ask new queries on many connections until it is over; return how often each status came.

    `batch`: how many are in a call; 1 = each is a call of its own.
    """
    numbers, statuses = count(), Counter[int]()

    def ask() -> None:
        caller = Caller(port, header)
        while not over.is_set():
            asks = [{"query": f"a chair {next(numbers)}"} for _ in range(batch)]
            if batch == 1:
                statuses[caller.recommend(**asks[0]).status] += 1
                continue
            answer = caller.call("POST", "/recommend/batch", {"requests": asks})
            for each in answer.body["results"]:
                statuses[_STATUS[each.get("error", {}).get("code")]] += 1
        caller.close()

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(_FLOOD)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def _calm(port: int, header: dict[str, str], calls: int) -> list[int]:
    """Ask so many new queries at a steady rate, each on time; return the statuses."""
    began = time.monotonic()

    def ask(n: int) -> int:
        time.sleep(max(0.0, began + n / _CALM_PER_S - time.monotonic()))
        caller = Caller(port, header)
        status = caller.recommend(query=f"a calm table {n}").status
        caller.close()
        return status

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(ask, range(calls)))


def fair_shares(rig: Rig, priority: Priority, batch: int) -> Measured:
    """Let one key flood the engine, while another asks five times a second."""
    keys = _Keys(rig)
    flooding, calm = keys.add(priority=priority), keys.add()
    service = rig.serve(
        *("--api-keys-file", str(keys.path), "--max-pending-requests", "16"),
        *("--max-batch-requests", "4"),
        under=["slow_engine"],
        CHAOS_ENGINE_MS="50",
    )
    over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(_flood, service.port, flooding, over, batch)
        try:
            time.sleep(1.0)  # the queue fills
            statuses = _calm(service.port, calm, calls=15 if rig.short else 150)
        finally:
            over.set()
        flooded = flood.result()
    served = statuses.count(200) / len(statuses)
    # What is bulk may wait too long behind what is interactive: 504.
    strange = flooded.keys() - {200, 429, 504}
    return Measured(
        served >= _CALM_SHARE and flooded[429] > 0 and flooded[200] > 0 and not strange,
        f"the calm key: {statuses.count(200)} of {len(statuses)} answered; the key that floods: "
        f"{flooded[200]} answered, {flooded[429]} refused",
    )


def shared_limit(rig: Rig) -> Measured:
    """Flood two services with one Redis by one key; then the Redis dies."""
    keys, redis = _Keys(rig), rig.redis()
    header = keys.add(limits=KeyLimits(_RATE, _SHARED_BURST))
    flags = ("--api-keys-file", str(keys.path), "--cache-url", redis.url)
    ports = [rig.serve(*flags).port for _ in range(2)]
    together, seconds = _for_a_while(ports, header, 4.0 if rig.short else 20.0)
    redis.kill()
    alone, _ = _for_a_while(ports, header, 2.0 if rig.short else 10.0)
    most = _SHARED_BURST + _RATE * seconds + _SHARED_BURST + _RATE * _LATE_S
    strange = (together.keys() | alone.keys()) - {200, 429}
    return Measured(
        _RATE * seconds / 2 <= together[200] <= most and alone[200] > 0 and not strange,
        f"{together[200]} let through in {seconds:.1f} s by two services, at most {most:.0f} are "
        f"stated; without Redis {alone[200]} answered, {alone[429]} refused, no other status",
    )


def _for_a_while(
    ports: list[int], header: dict[str, str], seconds: float
) -> tuple[Counter[int], float]:
    """Ask one thing on one connection to each service; return statuses, and how long it took."""
    began = time.monotonic()

    def ask(port: int) -> Counter[int]:
        caller, statuses = Caller(port, header), Counter[int]()
        while time.monotonic() < began + seconds:
            statuses[caller.recommend(query="a chair").status] += 1
        caller.close()
        return statuses

    with ThreadPoolExecutor(len(ports)) as pool:
        total = sum(pool.map(ask, ports), Counter[int]())
    return total, time.monotonic() - began


def _fair(name: str, priority: Priority, batch: int = 1) -> Trial:
    run: Callable[[Rig], Measured] = partial(fair_shares, priority=priority, batch=batch)
    calls = f"with batches of {batch}" if batch > 1 else "with single requests"
    return Trial(
        name=f"limits.{name}",
        requirements=(9,),
        promise=f"a key of the class {priority} that floods does not stop another key ({calls})",
        pass_line=f"{_FLOOD} connections flood a slow engine {calls}; another key asks "
        f"{_CALM_PER_S} times a second: ≥ {_CALM_SHARE:.0%} answered",
        run=run,
        faults=("one_lane",),
        short=batch == 1 and priority == "interactive",
    )


TRIALS: Final = (
    Trial(
        name="limits.cost",
        requirements=(2, 40),
        promise="a call costs what it holds, in every form",
        pass_line=f"a budget of {_BURST}: {_BURST} units are let through as single requests, as "
        f"batches of {_BATCH}, as shelves, as items and as events; then 429",
        run=cost,
        faults=("batch_costs_one",),
        short=True,
    ),
    Trial(
        name="limits.admission",
        requirements=(2,),
        promise="a batch finds as much room in the queue as the same requests one by one",
        pass_line=f"{_BATCH} to a queue of {_PENDING}, both ways: {_PENDING} to {_PENDING + 2} "
        "answered, all others refused",
        run=admission,
        faults=("unbounded_queue",),
    ),
    _fair("fair_share", "interactive"),
    _fair("fair_share_of_batches", "interactive", 64),
    _fair("bulk", "bulk"),
    Trial(
        name="limits.shared",
        requirements=(9, 40),
        promise="services with one Redis keep the limit of a key together, and without it each "
        "by itself",
        pass_line="two flooded services: at most burst + rate · s of one, and burst + rate · "
        f"{_LATE_S} s; no status but 200 and 429 when Redis dies",
        run=shared_limit,
        faults=("limits_of_each_alone",),
    ),
)
