"""Trials of a start: warm when it is ready, and no more threads than the machine can run."""

import os
import time
from pathlib import Path
from statistics import median
from typing import Final

from loadtest.chaos import catalogue
from loadtest.chaos.asking import PATIENT_MS, Caller
from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial
from loadtest.runners import wrk
from loadtest.runners.queries import demo_titles, unique_queries
from loadtest.runners.services import BUNDLE

_STARTS: Final = 5
_TIMES: Final = 2.0
_REQUESTS: Final = 101
_PAUSE_S: Final = 0.05
_BUSY: Final = 0.08
_SECONDS: Final = 5


def warm(rig: Rig) -> Measured:
    """Start several times; compare the first request with those that follow.

    They come with pauses. The first one always has one before it, and after a pause every request
    takes longer: the caches of the processor have forgotten the service.
    """
    ratios, firsts, steadies = [], [], []
    for _ in range(_STARTS):
        service = rig.serve()
        caller = Caller(service.port)
        caller.call("GET", "/livez")  # the connection is open before
        times = list[float]()
        for query in catalogue.queries(_REQUESTS):
            time.sleep(_PAUSE_S)
            times.append(caller.recommend(query=query).seconds * 1e3)
        caller.close()
        service.stop()
        firsts.append(times[0])
        steadies.append(median(times[1:]))
        ratios.append(times[0] / steadies[-1])
    # What is cold is so at each start; what other processes take of the machine is not.
    ratio = min(ratios)
    return Measured(
        ratio <= _TIMES,
        f"{_STARTS} starts: first request {median(firsts):.1f} ms, later ones "
        f"{median(steadies):.1f} ms (p50), {ratio:.1f} times as long at best",
    )


def threads(rig: Rig) -> Measured:
    """Saturate the engine, and count the threads that work."""
    service = rig.serve(bundle=BUNDLE)
    texts = unique_queries(30_000, 11, demo_titles())
    asks = ({"query": text, "k": 10, "budget_ms": PATIENT_MS} for text in texts)
    bodies = wrk.Bodies.write(rig.folder / "bodies.jsonl", asks, fresh=True)
    bodies.run(service.port, connections=32, seconds=2)
    before = _cpu_s(service.pid)
    run = bodies.run(service.port, connections=32, seconds=_SECONDS)
    after = _cpu_s(service.pid)
    spent = [seconds - before.get(name, 0.0) for name, seconds in after.items()]
    # Shares of what the process got: a busy machine gives it less.
    busy = sum(each > _BUSY * sum(spent) for each in spent)
    cores = len(os.sched_getaffinity(0))
    # One encodes or ranks for each core, and the event loop works beside them.
    return Measured(
        busy <= cores + 1 and len(after) <= len(before) + 2,
        f"{cores} cores, {run.per_second:.0f} new queries a second: {busy} threads work, "
        f"{len(after)} exist ({len(before)} before)",
    )


def _cpu_s(pid: int) -> dict[str, float]:
    """Return the seconds of CPU that each thread of a process has used."""
    ticks = os.sysconf("SC_CLK_TCK")
    used = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        used[task.name] = (int(fields[11]) + int(fields[12])) / ticks
    return used


TRIALS: Final = (
    Trial(
        name="start.warm",
        requirements=(32,),
        promise="the first request after the start is as fast as later ones",
        pass_line=f"first ≤ {_TIMES:.0f} × p50 of the next {_REQUESTS - 1}, "
        f"{_PAUSE_S * 1e3:.0f} ms apart, in the best of {_STARTS} starts",
        run=warm,
        faults=("ready_before_warm",),
    ),
    Trial(
        name="start.threads",
        requirements=(25,),
        promise="no more threads work than the cores can run, and the event loop",
        pass_line="threads with > 8 % of the work at saturation ≤ cores + 1",
        run=threads,
        faults=("spinning_threads",),
    ),
)
