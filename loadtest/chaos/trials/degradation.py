"""Trials of work that is shared and kept: once for many callers, and not gone all at once."""

import threading
from collections import Counter
from typing import Final

from redis import Redis as Client

from loadtest.chaos import catalogue
from loadtest.chaos.asking import PATIENT_MS, Caller, at_once, leave, p99_ms, until
from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial

_ALIKE: Final = 500
_TTL_MS: Final = 60_000
_SPREAD: Final = 0.1
_WAIT_MS: Final = 50


def patient(rig: Rig) -> tuple[str, ...]:
    """Return flags that give the cache more time on a busy machine, where no times are judged."""
    return ("--cache-timeout-ms", "200") if rig.short else ()


def single_flight(rig: Rig) -> Measured:
    """Send 500 identical requests; then again with a leader who leaves."""
    service = rig.serve("--cache-local-bytes", "0", under=["slow_engine"])
    before = service.metric("recserve_batch_size_sum")
    ask = {"query": "oak desk", "budget_ms": PATIENT_MS}
    answers = at_once(service.port, [ask] * _ALIKE)
    once = int(service.metric("recserve_batch_size_sum") - before)

    led = {"query": "red lamp", "budget_ms": PATIENT_MS}
    leader = threading.Thread(target=leave, args=(service.port, [led]))
    leader.start()
    followers = at_once(service.port, [led] * _ALIKE)
    leader.join()
    good = Counter(answer.status for answer in (*answers, *followers))
    same = len({str(answer.body.get("items")) for answer in answers})
    return Measured(
        once == 1 and good == Counter({200: 2 * _ALIKE}) and same == 1,
        f"{_ALIKE} identical requests: {once} encoded, {same} different answers; with a leader who "
        f"left: {good[200] - _ALIKE} of {_ALIKE} answered",
    )


def expiry(rig: Rig) -> Measured:
    """Write many answers at once, and look when they expire."""
    redis, number = rig.redis(), 200 if rig.short else 1000
    # Time enough for each write, however busy the machine is.
    flags = ("--cache-ttl-ms", str(_TTL_MS), "--cache-timeout-ms", "1000")
    service = rig.serve("--cache-url", redis.url, *flags)
    with Client.from_url(redis.url) as client:
        answers = []
        for start in range(0, number, 50):
            queries = catalogue.queries(number)[start : start + 50]
            answers += at_once(
                service.port, [{"query": q, "budget_ms": PATIENT_MS} for q in queries]
            )
        until(lambda: client.dbsize() >= number, 10)
        now = client.time()[0] * 1000
        expires = [now + client.pttl(key) for key in client.keys("recserve:*")]
    # Writing took some time too: what was written in one second is compared.
    spread = (max(expires) - min(expires)) / _TTL_MS if len(expires) >= number else 0.0
    middle = sorted(expires)[len(expires) // 4 : 3 * len(expires) // 4] or [0]
    half = (middle[-1] - middle[0]) / _TTL_MS
    good = sum(answer.status == 200 for answer in answers)
    return Measured(
        good == number and spread >= _SPREAD and half >= _SPREAD / 3,
        f"{len(expires)} answers written together expire over {spread:.0%} of their life, the "
        f"middle half of them over {half:.0%}",
    )


def silent_cache(rig: Rig) -> Measured:
    """Let the shared cache fall silent, and come back."""
    proxy = rig.proxy(rig.redis())
    service = rig.serve("--cache-url", proxy.url, "--cache-local-bytes", "0", *patient(rig))
    caller = Caller(service.port)
    queries = catalogue.queries(300)
    well = [caller.recommend(query=query) for query in queries[:50]]
    proxy.silent()
    before, tried = proxy.connections, proxy.commands
    silent = [caller.recommend(query=query) for query in queries[50:250]]
    attempts = (proxy.connections - before) + (proxy.commands - tried)
    proxy.well()
    back = until(
        lambda: caller.recommend(query=queries[0]).headers["x-cache"] in {"hit", "miss"}, 10
    )
    caller.close()
    errors = sum(answer.status != 200 for answer in (*well, *silent))
    first, rest = silent[:10], silent[10:]
    # The breaker opens after five failures; then one probe every two seconds.
    few = attempts <= 2 * (5 + 5)
    added = max(a.seconds for a in first) * 1e3 - p99_ms(well)
    late = p99_ms(rest) - p99_ms(well)
    in_time = rig.short or (added <= _WAIT_MS and back is not None and back <= 5)
    return Measured(
        not errors and few and back is not None and in_time,
        f"{len(silent)} requests to a silent cache: {errors} errors, {attempts} attempts, one "
        f"took {added:.0f} ms longer, later ones {max(0.0, late):.0f} ms (p99); used again after "
        f"{-1 if back is None else back:.1f} s",
    )


TRIALS: Final = (
    Trial(
        name="degradation.single_flight",
        requirements=(16,),
        promise="identical requests at the same time are computed once, whoever leaves",
        pass_line=f"{_ALIKE} identical: 1 encoded; without the leader all others answered",
        run=single_flight,
        faults=("no_single_flight",),
        short=True,
    ),
    Trial(
        name="degradation.expiry",
        requirements=(17,),
        promise="answers that were cached together do not expire together",
        pass_line=f"expiry spread over ≥ {_SPREAD:.0%} of the life",
        run=expiry,
        faults=("one_expiry_for_all",),
        short=True,
    ),
    Trial(
        name="degradation.silent_cache",
        requirements=(12, 13),
        promise="a silent cache is tried a few times, then left alone, and used again later",
        pass_line=f"0 errors, ≤ 20 attempts, ≤ {_WAIT_MS} ms added, back within 5 s",
        run=silent_cache,
        faults=("breaker_never_opens",),
        short=True,
    ),
)
