"""Trials of overload: what is refused, how fast, and that the work which is accepted gets done."""

from collections import Counter
from typing import Final

from loadtest.chaos import catalogue
from loadtest.chaos.asking import PATIENT_MS, at_once, p99_ms
from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial

_AT_ONCE: Final = 64
_PENDING: Final = 8
_REFUSED_MS: Final = 10


def refusals(rig: Rig) -> Measured:
    """Send 64 requests at once to a queue of 8, before an engine that takes 200 ms a pass."""
    service = rig.serve(
        *("--max-pending-requests", str(_PENDING), "--max-batch-requests", "1"),
        under=["slow_engine"],
    )
    queries = catalogue.queries(_AT_ONCE)
    answers = at_once(service.port, [{"query": q, "budget_ms": PATIENT_MS} for q in queries])
    statuses = Counter(answer.status for answer in answers)
    refused = [answer for answer in answers if answer.status == 429]
    told = all(int(a.headers.get("retry-after", 0)) >= 1 for a in refused)
    told = told and all(a.body["error"]["retry_after_ms"] >= 1 for a in refused)
    # Beside the queue, one is in a pass, and another may be handed to the thread of passes.
    bounded = _PENDING <= statuses[200] <= _PENDING + 2
    p99 = p99_ms(refused)
    soon = rig.short or p99 < _REFUSED_MS
    return Measured(
        bounded and told and soon and statuses[200] + statuses[429] == _AT_ONCE,
        f"{_AT_ONCE} sent, {statuses[200]} answered, {statuses[429]} refused, "
        f"p99 of refusals {p99:.1f} ms",
    )


TRIALS: Final = (
    Trial(
        name="overload.refusals",
        requirements=(1,),
        promise="a full queue refuses the excess at once, and says when to come again",
        pass_line=f"64 at once, queue of {_PENDING}: all but the queue and one or two in work get "
        f"429 with `Retry-After`, p99 < {_REFUSED_MS} ms",
        run=refusals,
        faults=("unbounded_queue",),
        short=True,
    ),
)
