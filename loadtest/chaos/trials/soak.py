"""Trials of what a service holds: memory, tasks, series of metrics, caches.

`make soak` is the long form, with a real service and real encoders.
"""

import json
from typing import Final

from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial

_MOST_MB: Final = 20.0
_MOST_TASKS: Final = 5
_LARGEST: Final = 20_000


def flat(rig: Rig) -> Measured:
    """Send different requests through the whole service, with an encoder that only hashes."""
    warm_up, requests = (4_500, 4_000) if rig.short else (20_000, 100_000)
    sizes = ["--warm-up", str(warm_up), "--requests", str(requests)]
    done = rig.run("loadtest.soak.in_process", "--bundle", str(rig.bundle), *sizes)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found = json.loads(done.stdout.splitlines()[-1])
    flat = found["grown_mb"] <= _MOST_MB and found["more_tasks"] <= _MOST_TASKS
    capped = not found["large"] and found["more_series"] == 0 and found["more_remembered"] == 0
    large = f", containers: {', '.join(found['large'])}" if found["large"] else ""
    return Measured(
        flat and capped,
        f"{found['requests']:,} different requests: {found['grown_mb']:+.1f} MB, "
        f"{found['more_tasks']} more tasks, {found['more_series']} more series of metrics, "
        f"{found['more_remembered']} more results in caches without a bound{large}",
    )


def capped(rig: Rig) -> Measured:
    """Give different users and queries to the parts that remember some."""
    done = rig.run("loadtest.soak.caps", "--inputs", str(30_000 if rig.short else 1_000_000))
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found = json.loads(done.stdout.splitlines()[-1])
    return Measured(
        found["grown_mb"] <= _MOST_MB and found["largest"] <= _LARGEST,
        f"{found['inputs']:,} different inputs: {found['grown_mb']:+.1f} MB, the largest container "
        f"has {found['largest']:,} entries",
    )


TRIALS: Final = (
    Trial(
        name="soak.capped",
        requirements=(42,),
        promise="caches and other parts that remember inputs forget them",
        pass_line=f"a million different users and queries: at most {_MOST_MB:.0f} MB more after "
        f"the first tenth, no container of more than {_LARGEST:,} entries",
        run=capped,
        faults=("nothing_is_evicted",),
        short=True,
    ),
    Trial(
        name="soak.flat",
        requirements=(41, 42),
        promise="memory, tasks, caches and series of metrics do not grow with the requests",
        pass_line=f"100,000 different requests after 20,000 others: at most {_MOST_MB:.0f} MB and "
        f"{_MOST_TASKS} tasks more, no container with an entry for every second request",
        run=flat,
        faults=("leak", "forgotten_tasks"),
        short=True,
    ),
)
