"""Trials of a Redis that is down, slow, silent, lying, half-closed or full."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from redis import Redis as Client

from loadtest.chaos import catalogue
from loadtest.chaos.asking import Answer, Caller, at_once, ids_of, leave, p99_ms, until
from loadtest.chaos.proxy import FaultProxy
from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial
from loadtest.chaos.trials.degradation import patient
from loadtest.runners.services import Service

_CACHE_WAIT_MS: Final = 35
"""The time limit of the cache and 5 ms."""
_POOL: Final = 4
_READ_MS: Final = 200


def _noise(data: bytes) -> bytes:
    return bytes(byte ^ 0x55 for byte in data)


_TROUBLES: Final[dict[str, Callable[[FaultProxy], None]]] = {
    "down": lambda proxy: proxy.down(),
    "slow": lambda proxy: proxy.slow(2.0),
    "silent": lambda proxy: proxy.silent(),
    "reset": lambda proxy: proxy.resetting(),
    "sliced": lambda proxy: proxy.sliced(1),
    "cut off": lambda proxy: proxy.cut_after(10),
    "half-closed": lambda proxy: proxy.half_closed(),
    "lying": lambda proxy: proxy.lying(_noise),
}


def cache_troubles(rig: Rig) -> Measured:
    """Ask the same queries while the connections to the shared cache break in eight ways."""
    proxy = rig.proxy(rig.redis())
    service = rig.serve("--cache-url", proxy.url, "--cache-local-bytes", "0", *patient(rig))
    caller = Caller(service.port)
    queries = catalogue.queries(10 if rig.short else 40)
    well = [caller.recommend(query=query) for query in queries]
    expected = [ids_of(answer) for answer in well]
    bad, wrong, unready, rise = list[str](), 0, 0, dict[str, float]()
    for name, begin in _TROUBLES.items():
        begin(proxy)
        seconds = 0.0 if rig.short else 5.0
        began, answers = time.monotonic(), list[Answer]()
        while len(answers) < len(queries) or time.monotonic() - began < seconds:
            n = len(answers) % len(queries)
            answer = caller.recommend(query=queries[n])
            answers.append(answer)
            wrong += answer.status == 200 and ids_of(answer) != expected[n]
        bad += [name for answer in answers if answer.status != 200]
        unready += caller.call("GET", "/readyz").status != 200
        rise[name] = p99_ms(answers) - p99_ms(well)
        proxy.well()
    caller.close()
    worst = max(rise, key=lambda name: rise[name])
    in_time = rig.short or rise[worst] <= _CACHE_WAIT_MS
    return Measured(
        not bad and not wrong and not unready and in_time,
        f"{len(_TROUBLES)} kinds of trouble: {len(bad)} answers were errors, {wrong} wrong; "
        f"/readyz failed {unready} times; p99 rose most ({worst}) by {rise[worst]:.0f} ms",
    )


def attempts(rig: Rig) -> Measured:
    """Count what is sent to a shared cache that takes connections and resets each."""
    proxy = rig.proxy(rig.redis())
    service = rig.serve("--cache-url", proxy.url, "--cache-local-bytes", "0", *patient(rig))
    caller = Caller(service.port)
    proxy.resetting()
    before = proxy.commands
    began, seconds, number = time.monotonic(), 2 if rig.short else 20, 0
    queries = catalogue.queries(400)
    errors = 0
    while time.monotonic() - began < seconds:
        errors += caller.recommend(query=queries[number % len(queries)]).status != 200
        number += 1
    tried = proxy.commands - before
    caller.close()
    return Measured(
        not errors and tried <= 1.1 * number,
        f"{number} requests in {seconds} s to a cache that resets: {tried} attempts "
        f"({tried / number:.2f} a request), {errors} errors",
    )


def crossed(rig: Rig) -> Measured:
    """Ask from many sides through few connections, and let a fifth of the callers leave."""
    redis = rig.redis()
    proxy = rig.proxy(redis)
    service = rig.serve(
        *("--cache-url", proxy.url, "--cache-local-bytes", "0"),
        *("--cache-max-connections", str(_POOL), "--cache-timeout-ms", "1000"),
    )
    queries = catalogue.queries(40)
    expected = {}
    caller = Caller(service.port)
    for query in queries:
        expected[query] = ids_of(caller.recommend(query=query))
    proxy.slow(0.005)
    answers, wrong, errors, troubled = 0, 0, 0, 0
    began, seconds = time.monotonic(), 4 if rig.short else 30
    while time.monotonic() - began < seconds:
        asked = [rig.rng.choice(queries) for _ in range(10 * _POOL)]
        leaving = [{"query": rig.rng.choice(queries)} for _ in range(2 * _POOL)]
        gone = threading.Thread(target=leave, args=(service.port, leaving))
        gone.start()
        for query, answer in zip(
            asked, at_once(service.port, [{"query": q} for q in asked]), strict=True
        ):
            answers += 1
            errors += answer.status != 200
            wrong += answer.status == 200 and ids_of(answer) != expected[query]
            troubled += answer.headers.get("x-cache") == "error"
        gone.join()
    proxy.well()
    after = [caller.recommend(query=query) for query in queries]
    hits = sum(answer.headers.get("x-cache") == "hit" for answer in after)
    foreign = _cache_reads(service, "foreign")
    with Client.from_url(redis.url) as client:
        open_now = len(client.client_list()) - 1
    caller.close()
    good = not (wrong or errors or foreign) and hits == len(after) and open_now <= _POOL + 1
    return Measured(
        good,
        f"{answers} answers, a fifth of all callers left: {wrong} wrong, {errors} errors, "
        f"{foreign:.0f} replies of others, {troubled} without the cache; afterwards "
        f"{hits} of {len(after)} from the cache, {open_now} connections (pool of {_POOL})",
    )


def _cache_reads(service: Service, result: str) -> float:
    name = f'recserve_cache_reads_total{{result="{result}",tier="shared"}}'
    caller = Caller(service.port)
    text = caller.call("GET", "/metrics").body.decode()
    caller.close()
    rows = [line.rpartition(" ") for line in text.splitlines() if line.startswith("recserve_cache")]
    for label, _, value in rows:
        if label == name or (f'result="{result}"' in label and 'tier="shared"' in label):
            return float(value)
    return 0.0


def _harmed(value: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(value))
    return chance.choice(
        [
            value[:at] + bytes([value[at] ^ (1 << chance.randrange(8))]) + value[at + 1 :],
            value[:at] or b"x",
            value + chance.randbytes(1 + at % 50),
            chance.randbytes(len(value)),
        ]
    )


def corrupt(rig: Rig) -> Measured:
    """Harm every value of the shared cache, again and again, and ask for it."""
    redis = rig.redis()
    flags = ("--cache-local-bytes", "0", "--cache-timeout-ms", "1000")
    service = rig.serve("--cache-url", redis.url, *flags)
    caller, queries = Caller(service.port), catalogue.queries(50)
    expected = [ids_of(caller.recommend(query=query)) for query in queries]
    rounds, harmed, wrong, errors = 2 if rig.short else 200, 0, 0, 0
    with Client.from_url(redis.url) as client:
        for _ in range(rounds):
            for key in client.keys("recserve:*"):
                value = client.get(key)
                if value:
                    client.set(key, _harmed(value, rig.rng), px=60_000)
                    harmed += 1
            for n, query in enumerate(queries):
                answer = caller.recommend(query=query)
                errors += answer.status != 200
                wrong += answer.status == 200 and ids_of(answer) != expected[n]
    caller.close()
    found = _cache_reads(service, "foreign")
    return Measured(
        not errors and not wrong and harmed >= rounds * len(queries) / 2 and found >= harmed * 0.9,
        f"{harmed} harmed values: {found:.0f} found, {errors} errors, {wrong} wrong answers",
    )


def store_silent(rig: Rig) -> Measured:
    """Stop the Redis of the event store (SIGSTOP), and ask for users."""
    redis = rig.redis()
    service = rig.serve("--store-url", redis.url)
    caller = Caller(service.port)
    users = [catalogue.user_id(n) for n in range(catalogue.N_USERS)]
    event = {"item_id": catalogue.item_id(1), "user_id": users[0]}
    before = caller.call("POST", "/events", [event]).status
    redis.pause()
    answers = list[Answer]()
    # Crowds for the few connections of the pool: deadlines fall into the sending of commands.
    for start in range(0, 800 if not rig.short else 160, 32):
        queries = [f"oak desk {start + n}" for n in range(32)]
        asks = [{"query": q, "user_id": users[n]} for n, q in enumerate(queries)]
        answers += at_once(service.port, asks)
    caller.close()  # it was idle for as long as the crowds took, and opens again by itself
    write = [caller.call("POST", "/events", [event]) for _ in range(7)]
    redis.resume()
    # Each breaker pauses for two seconds.
    writes = until(lambda: caller.call("POST", "/events", [event]).status == 200, 10)
    asked = iter(range(10_000))
    reads = until(
        lambda: (
            "x-degraded"
            not in caller.recommend(query=f"lamp {next(asked)}", user_id=users[0]).headers
        ),
        10,
    )
    caller.close()
    statuses = Counter(answer.status for answer in answers)
    said = sum(a.headers.get("x-degraded") == "user_state" for a in answers)
    longest = max(answer.seconds for answer in answers) * 1e3
    # Time to rank a crowd beside the limit of the read.
    in_time = rig.short or longest <= _READ_MS + 300
    refused = [answer.status for answer in write]
    back = None if writes is None or reads is None else writes + reads
    fine = before == 200 and back is not None and (rig.short or back <= 5)
    return Measured(
        statuses[200] == said == len(answers) and set(refused) == {503} and in_time and fine,
        f"{len(answers)} requests of users: {statuses[200]} answered, {said} say that user state "
        f"is missing, longest {longest:.0f} ms; 7 events got 503, the last after "
        f"{write[-1].seconds * 1e3:.0f} ms; used again "
        f"{'never' if back is None else f'{back:.1f} s'} after it was back",
    )


def store_full(rig: Rig) -> Measured:
    """Fill the Redis of the event store."""
    redis = rig.redis()
    service = rig.serve("--store-url", redis.url, "--store-events-per-kind", "100000")
    caller, statuses, kept = Caller(service.port), list[int](), 0
    user = catalogue.user_id(1)

    def send(number: int) -> int:
        event = {"event_id": f"e{number}", "item_id": catalogue.item_id(1), "user_id": user}
        return caller.call("POST", "/events", [event]).status

    with Client.from_url(redis.url) as client:
        for number in range(30):
            if number == 10:
                client.config_set("maxmemory", 1)
            if number == 20:
                client.config_set("maxmemory", 0)
            statuses.append(send(number))
            kept += statuses[-1] == 200
        client.config_set("maxmemory", 1)
        read = caller.recommend(query="oak desk", user_id=user)
        client.config_set("maxmemory", 0)
    stored = sum(caller.call("GET", f"/users/{user}").body["counts"]["events"].values())
    caller.close()
    counted = Counter(statuses)
    return Measured(
        counted == Counter({200: 20, 507: 10})
        and stored == kept
        and read.status == 200
        and read.body["degraded"] == [],
        f"30 events, 10 of them while it was full: {dict(counted)}; {stored} stored of {kept} "
        f"acknowledged; a recommendation meanwhile: {read.status}",
    )


TRIALS: Final = (
    Trial(
        name="redis.cache_troubles",
        requirements=(12, 36),
        promise="whatever happens to the connections to the shared cache, answers are right",
        pass_line="down, slow, silent, reset, sliced, cut off, half-closed, lying: 0 errors, 0 "
        f"wrong answers, ready, p99 rises by ≤ {_CACHE_WAIT_MS} ms",
        run=cache_troubles,
        faults=("cache_trouble_is_an_error",),
        short=True,
    ),
    Trial(
        name="redis.attempts",
        requirements=(10,),
        promise="a failing cache is not tried more often than it is needed",
        pass_line="≤ 1.1 attempts a request",
        run=attempts,
        faults=("redis_is_tried_again",),
        short=True,
    ),
    Trial(
        name="redis.crossed",
        requirements=(18, 43),
        promise="callers who leave cross no answers and lose no connection of the pool",
        pass_line="ten times the pool, a fifth leave: 0 wrong, 0 errors, 0 foreign replies; "
        "afterwards all from the cache",
        run=crossed,
        faults=("replies_stay_on_the_line",),
        short=True,
    ),
    Trial(
        name="redis.corrupt",
        requirements=(20,),
        promise="harmed values of the cache are found and never used",
        pass_line="10,000 harmed values: all found, 0 errors, 0 wrong answers",
        run=corrupt,
        faults=("unproven_cache_values",),
        short=True,
    ),
    Trial(
        name="redis.store_silent",
        requirements=(12, 13, 14),
        promise="an event store that falls silent costs user state and no more than its time limit",
        pass_line="all answered, all say `user_state`; longest ≤ 500 ms; events get 503",
        run=store_silent,
        faults=("read_limit_lost",),
        short=True,
    ),
    Trial(
        name="redis.store_full",
        requirements=(33,),
        promise="a full Redis refuses events with 507, keeps all others, and is read all the same",
        pass_line="20 of 30 stored, 10 with 507 while it is full; reads go on",
        run=store_full,
        faults=("acknowledged_too_soon",),
        short=True,
    ),
)
