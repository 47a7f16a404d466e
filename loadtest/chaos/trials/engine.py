"""Trials of the engine: the same answer alone and in a batch, and from several threads."""

from typing import Any, Final

from loadtest.chaos import catalogue
from loadtest.chaos.asking import PATIENT_MS, Caller
from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial

_REQUESTS: Final = 96
_OF_A_BATCH: Final = 32
_MOST_APART: Final = 1e-4
"""Largest difference of two scores that are the same but for rounding."""


def in_a_batch(rig: Rig) -> Measured:
    """Ask one service alone, another in batches, and compare."""
    bodies = _bodies()
    alone, together = rig.serve(), rig.serve()
    caller = Caller(alone.port)
    singles = [caller.recommend(**body).body for body in bodies]
    caller.close()
    caller, batched = Caller(together.port), list[Any]()
    for start in range(0, len(bodies), _OF_A_BATCH):
        part = {"requests": bodies[start : start + _OF_A_BATCH]}
        batched += caller.call("POST", "/recommend/batch", part).body["results"]
    caller.close()
    sizes = [answer["batch_size"] for answer in batched]
    same = sum(_are_same(*pair) for pair in zip(singles, batched, strict=True))
    return Measured(
        same == len(bodies) and max(sizes) > 1,
        f"{same} of {len(bodies)} answers are the same; "
        f"the largest batch had {max(sizes)} requests",
    )


def _bodies() -> list[dict[str, Any]]:
    """Return requests by words, by a history, and by both, by turns."""
    bodies = []
    for n, query in enumerate(catalogue.queries(_REQUESTS)):
        body: dict[str, Any] = {"budget_ms": PATIENT_MS, "k": 10}
        if n % 3 != 1:
            body["query"] = query
        if n % 3 != 0:
            body["history"] = [catalogue.item_id(n), catalogue.item_id(n + 7)]
        bodies.append(body)
    return bodies


def _are_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two answers have the same scores, and the same items but for ties."""
    scores = [{item["id"]: item["score"] for item in each["items"]} for each in (one, other)]
    if len(scores[0]) != len(scores[1]):
        return False
    pairs = zip(scores[0].values(), scores[1].values(), strict=True)
    if any(abs(mine - yours) > _MOST_APART for mine, yours in pairs):
        return False
    last = min(scores[0].values(), default=0.0)
    return all(
        abs(score - scores[1].get(item, last)) <= _MOST_APART for item, score in scores[0].items()
    )


def several_threads(rig: Rig) -> Measured:
    """Encode in several threads at the same time; each gets the vectors that it gets alone."""
    return rig.pytest("tests/contract/test_encoder.py", "-k", "several_threads")


TRIALS: Final = (
    Trial(
        name="engine.batched",
        requirements=(23,),
        promise="a request gets the same answer alone and in a batch",
        pass_line="all answers of two services, one asked alone and one in batches of up to 32, "
        "have the same items and scores within 1e-4",
        run=in_a_batch,
        faults=("answers_rotated",),
        short=True,
    ),
    Trial(
        name="engine.threads",
        requirements=(22,),
        promise="several threads may encode at the same time",
        pass_line="the same bits as alone, for each kind of encoder",
        run=several_threads,
        faults=("texts_kept_on_encoder",),
    ),
)
