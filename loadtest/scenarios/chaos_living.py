"""`make chaos-living`: kills (`kill -9`) during ingestion must not lose or double any event.

    python -m loadtest.scenarios.chaos_living [--kills 100] [--seed 1]
                                              [--store sqlite|redis|forgetful|both]

Several callers send batches of events with ids. A batch without an answer is sent again until it is
acknowledged. Meanwhile the service is killed; with Redis, the service, Redis or both in turn. At
the end the stored events are compared with the acknowledged ones; the exit status is 1 if they
differ.
"forgetful" is a Redis that writes nothing to disk: with it the trial must fail.
"""

import argparse
import asyncio
import http.client
import itertools
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.core.settings import Settings
from app.serving.stores.opening import open_event_store
from loadtest.runners import services

_CALLERS = 4
_USERS = 5
_MOST_IN_A_BATCH = 20


@dataclass
class Log:
    """What the callers saw. `acknowledged`: event id -> item; `again`: batches sent again."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    again: int = 0
    statuses: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True)
class Outcome:
    """The result of one trial; `lost`, `doubled` and `strange` (never sent) must be 0."""

    store: str
    kills: int
    acknowledged: int
    again: int
    stored: int
    lost: int
    doubled: int
    strange: int
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether each acknowledged event is stored once, and no event that was never sent."""
        return not (self.lost or self.doubled or self.strange)


def trial(store: str, kills: int, seed: int, folder: Path) -> Outcome:
    """Kill the service `kills` times while callers send, then compare the stored events."""
    began = time.monotonic()
    chance = random.Random(seed)
    durable = store != "forgetful"
    redis = None if store == "sqlite" else services.Redis(folder, durable=durable)
    url = f"sqlite:///{folder / 'store.sqlite'}" if redis is None else redis.url
    service = services.ingest(folder / "service.log", url)
    log, stop = Log(), threading.Event()
    if redis:
        redis.start()
    service.start()
    callers = [
        threading.Thread(target=_call, args=(n, service.port, log, stop, random.Random(seed + n)))
        for n in range(_CALLERS)
    ]
    try:
        for caller in callers:
            caller.start()
        for n in range(kills):
            time.sleep(chance.uniform(0.02, 0.3))
            _kill(n, service, redis)
        stop.set()
        for caller in callers:
            caller.join()
        service.kill()
        stored = asyncio.run(_stored(url))
    finally:
        stop.set()
        service.kill()
        if redis:
            redis.kill()
    return _compared(store, kills, log, stored, time.monotonic() - began)


def _kill(n: int, service: services.Service, redis: services.Redis | None) -> None:
    """Kill the service; with Redis, in turn the service, Redis, or both. Then start it again."""
    if redis is not None and n % 3 != 0:
        redis.kill()
    if redis is None or n % 3 != 1:
        service.kill()
    if redis is not None and n % 3 != 0:
        redis.start()
    if redis is None or n % 3 != 1:
        service.start()


def _call(number: int, port: int, log: Log, stop: threading.Event, chance: random.Random) -> None:
    """Send batches until `stop` is set; send each again until it is acknowledged."""
    serial = itertools.count()
    while not stop.is_set():
        ids = [f"{number}-{next(serial)}" for _ in range(chance.randint(1, _MOST_IN_A_BATCH))]
        events = [
            {"event_id": name, "item_id": f"item {name}", "user_id": str(chance.randrange(_USERS))}
            for name in ids
        ]
        log.sent.update(ids)
        body = json.dumps(events).encode()
        while not _acknowledged(port, body, len(events), log):
            log.again += 1
            time.sleep(0.01)
        log.acknowledged.update((event["event_id"], event["item_id"]) for event in events)


def _acknowledged(port: int, body: bytes, n: int, log: Log) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/events", body)
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
    log.statuses[response.status] += 1
    return response.status == 200 and answer["accepted"] + answer["duplicates"] == n


async def _stored(url: str) -> list[tuple[str, str]]:
    """Return (id, item) of every stored event; a doubled event appears twice."""
    store = await open_event_store(Settings(store_url=url, store_events_per_kind=100_000))
    try:
        by_user = [(await store.read(f"u:{user}")).counts for user in range(_USERS)]
        events = [(event.id, event.item) async for part in store.scan() for event in part]
    finally:
        await store.aclose()
    if sum(sum(counts.values()) for counts in by_user) != len(events):
        raise RuntimeError("users and events do not agree")
    return events


def _compared(
    store: str, kills: int, log: Log, stored: Sequence[tuple[str, str]], seconds: float
) -> Outcome:
    ids, items = {name for name, _ in stored}, Counter(item for _, item in stored)
    return Outcome(
        store=store,
        kills=kills,
        acknowledged=len(log.acknowledged),
        again=log.again,
        stored=len(stored),
        lost=len(set(log.acknowledged) - ids),
        doubled=sum(n - 1 for n in items.values()),
        strange=len(ids - log.sent),
        seconds=seconds,
    )


def main(argv: Sequence[str] | None = None, say: Callable[[str], None] = print) -> int:
    """Run the trials and print a table; return 1 if one failed."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.scenarios.chaos_living", description=__doc__
    )
    parser.add_argument("--kills", type=int, default=100, help="of each store (default: 100)")
    parser.add_argument("--store", choices=["sqlite", "redis", "forgetful", "both"], default="both")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    say("store    kills  acknowledged  sent again   stored   lost  doubled  seconds")
    passed = True
    for store in ("sqlite", "redis") if options.store == "both" else (options.store,):
        with tempfile.TemporaryDirectory() as folder:
            o = trial(store, options.kills, options.seed, Path(folder))
        passed &= o.passed
        say(
            f"{o.store:8} {o.kills:5} {o.acknowledged:13} {o.again:11} {o.stored:8} "
            f"{o.lost:6} {o.doubled:8} {o.seconds:8.1f}"
        )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
