"""The trial of a failover: another Redis takes over behind the same address."""

import threading
from collections import Counter
from typing import Final

from redis import Redis as Client

from loadtest.chaos import catalogue
from loadtest.chaos.asking import Caller, ids_of, until
from loadtest.chaos.proxy import FaultProxy
from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial
from loadtest.runners.services import Redis

_LIMIT_S: Final = 10
_UNSEEN_S: Final = 1
"""How long nobody sees that a primary has died."""
_USER: Final = catalogue.user_id(1)


class _Readers:
    """Two callers that ask all the time, one of them for a user. Close them at the end."""

    def __init__(self, port: int, expected: dict[str, list[str]]) -> None:
        self.statuses = Counter[int]()
        self.wrong = 0
        self._expected = expected
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(port, user)) for user in (None, _USER)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _read(self, port: int, user: str | None) -> None:
        caller = Caller(port)
        while not self._over.is_set():
            for query, ids in self._expected.items():
                whose = {} if user is None else {"user_id": user}
                answer = caller.recommend(query=query, **whose)
                self.statuses[answer.status] += 1
                self.wrong += user is None and ids_of(answer) != ids
        caller.close()


def _follow(replica: Redis, primary: Redis) -> None:
    """Make one Redis the replica of another, and wait until it has its data."""
    with Client.from_url(replica.url) as client:
        client.replicaof("127.0.0.1", primary.port)
        if until(lambda: client.info("replication").get("master_link_status") == "up", 10) is None:
            raise RuntimeError("the replica does not reach its primary")


def _lead(redis: Redis) -> None:
    with Client.from_url(redis.url) as client:
        client.replicaof("NO", "ONE")


class _Writer:
    """Sends events one after the other, each with an id of its own."""

    def __init__(self, port: int) -> None:
        self.caller = Caller(port)
        self.statuses = Counter[int]()
        self._number = 0

    def send(self) -> bool:
        self._number += 1
        event = {"event_id": f"e{self._number}", "item_id": catalogue.item_id(1), "user_id": _USER}
        status = self.caller.call("POST", "/events", [event]).status
        self.statuses[status] += 1
        return status == 200


def failover(rig: Rig) -> Measured:
    """Let a primary die, or become a replica, and lead its address to the other Redis."""
    primary, replica = rig.redis(), rig.redis()
    _follow(replica, primary)
    proxy = rig.proxy(primary)
    service = rig.serve(
        *("--cache-url", proxy.url, "--cache-local-bytes", "0", "--store-url", proxy.url),
        *("--store-events-per-kind", "100000"),
    )
    writer, queries = _Writer(service.port), catalogue.queries(20)
    expected = {query: ids_of(writer.caller.recommend(query=query)) for query in queries}
    readers = _Readers(service.port, expected)
    back = list[float | None]()
    try:
        for number in range(2 if rig.short else 10):
            for _ in range(20):
                writer.send()
            _acknowledged(primary)
            if number % 2:
                _die(primary, replica, proxy, writer)
            else:
                _swap(primary, replica, proxy)
            back.append(until(writer.send, _LIMIT_S))
            primary, replica = replica, primary
            _follow(replica, primary)
    finally:
        readers.close()
    counts = writer.caller.call("GET", f"/users/{_USER}").body["counts"]["events"]
    writer.caller.close()
    lost = writer.statuses[200] - sum(counts.values())
    longest = max((each for each in back if each is not None), default=0.0)
    never = back.count(None)
    only_503 = set(writer.statuses) <= {200, 503}
    answers = sum(readers.statuses.values())
    errors = answers - readers.statuses[200]
    return Measured(
        answers > 0 and not (errors or readers.wrong or never or lost) and only_503,
        f"{len(back)} failovers: {answers} answers, {errors} of them errors, {readers.wrong} "
        f"wrong; events: {dict(writer.statuses)}, taken again after at most {longest:.1f} s, "
        f"{never} times not within {_LIMIT_S} s; {lost} acknowledged events lost",
    )


def _acknowledged(primary: Redis) -> None:
    """Wait until the replica has what the primary has: what it has not, a failover may lose."""
    with Client.from_url(primary.url) as client:
        if not client.wait(1, 10_000):
            raise RuntimeError("the replica does not follow")


def _die(primary: Redis, replica: Redis, proxy: FaultProxy, writer: _Writer) -> None:
    """Kill the primary; its replica takes over as late as a supervisor would see it."""
    primary.kill()
    until(lambda: writer.send() and False, _UNSEEN_S)
    _lead(replica)
    proxy.move(replica.port)
    primary.start()


def _swap(primary: Redis, replica: Redis, proxy: FaultProxy) -> None:
    """Make the replica the primary; the old one follows it, and keeps its connections."""
    _lead(replica)
    _follow(primary, replica)
    proxy.move(replica.port)


TRIALS: Final = (
    Trial(
        name="failover.behind_an_address",
        requirements=(44,),
        promise="when another Redis takes over behind the same address, answers go on and events "
        "are taken again",
        pass_line="the primary is killed, or becomes a replica and keeps its connections: 0 "
        f"errors, 0 wrong answers, events 200 or 503, taken again within {_LIMIT_S} s, 0 lost that "
        "the replica had",
        run=failover,
        faults=("stays_with_a_replica",),
        short=True,
    ),
)
