"""Schedules: what happens in one run, drawn from its seed.

A schedule has all arguments in its steps, so a part of it can be run as well: that is how a failing
schedule is made small. Each schedule draws first how often each kind of step comes, and some kinds
never: many rare orders of events need that something else does not happen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from app.core.caller import NOBODY, Caller
from app.core.lane import Lane
from app.core.store_ports import user_key
from loadtest.simulation.engine import POISON
from loadtest.simulation.troubles import PARTS

USERS: Final = ("ann", "bob", "eve")
SESSIONS: Final = ("s1", "s2")
CALLERS: Final = {
    "": NOBODY,
    "shop": Caller(namespace="shop", lane=Lane("shop")),
    "bulk": Caller(lane=Lane("bulk", interactive=False)),
}
"""Whose keys ask: the users of one have the names of others, in a namespace of their own."""
ITEMS: Final = tuple(f"i{n}" for n in range(12))
_NAMESPACES: Final = ("", "", "shop")
_QUERIES: Final = ("", "tea", "red tea", "blue cup", "big  blue cup of tea", "tea")
_KINDS: Final = ("click", "click", "dislike", "impression")
_AGAIN: Final = 0.4
"""Share of the questions that are asked again: a cache has to know them."""
_FAVOURITES: Final = 3
_BUDGETS_MS: Final = (15, 60, 250, 1000, 2000)

WEIGHTS: Final = {
    "ask": 30,
    "together": 3,
    "event": 10,
    "undo": 1,
    "attributes": 2,
    "merge": 2,
    "erase": 2,
    "put": 5,
    "patch": 4,
    "delete": 3,
    "reload": 3,
    "rule": 3,
    "unrule": 1,
    "trouble": 6,
    "facets": 1,
    "die": 0.1,
}


@dataclass(frozen=True, slots=True)
class Step:
    """What happens once.

    Attributes:
        number: its place in the whole schedule.
        after_s: seconds since the step before it.
        kind: what happens.
        arguments: of that kind.
        leaves_s: seconds after which the caller goes away; None = it stays.
    """

    number: int
    after_s: float
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)
    leaves_s: float | None = None

    def __str__(self) -> str:
        said = " ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        leaves = "" if self.leaves_s is None else f", leaves after {self.leaves_s:.4f} s"
        return f"step {self.number}: {self.kind} {said}{leaves}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that one run does.

    Attributes:
        seed: of everything that is drawn.
        steps: in their order.
        rests: whether the service comes to rest before it is closed.
        answers: whether answers are kept.
        shared: whether there is a shared cache.
    """

    seed: int
    steps: tuple[Step, ...]
    rests: bool
    answers: bool
    shared: bool


def schedule_of(seed: int) -> Schedule:
    """Draw the schedule of a seed."""
    draws = Random(f"schedule {seed}")
    weights = {
        kind: weight * draws.choice((0, 0.5, 1, 1, 3)) if kind != "ask" else weight
        for kind, weight in WEIGHTS.items()
    }
    pace_s = draws.choice((0.0005, 0.003, 0.02, 0.1))
    kinds = draws.choices(list(weights), list(weights.values()), k=draws.randint(5, 45))
    steps = list[Step]()
    for number, kind in enumerate(kinds):
        asked = [step.arguments for step in steps if step.kind == "ask"][:_FAVOURITES]
        steps.append(_step(draws, number, kind, pace_s, asked))
    return Schedule(
        seed=seed,
        steps=tuple(steps),
        rests=draws.random() < 0.8,
        answers=draws.random() < 0.3,
        shared=draws.random() < 0.7,
    )


def part_of(schedule: Schedule, numbers: Sequence[int]) -> Schedule:
    """Return the schedule with only some of its steps, at their own times."""
    wanted, steps, pause_s = set(numbers), [], 0.0
    for step in schedule.steps:
        pause_s += step.after_s
        if step.number in wanted:
            steps.append(Step(step.number, pause_s, step.kind, step.arguments, step.leaves_s))
            pause_s = 0.0
    return Schedule(schedule.seed, tuple(steps), schedule.rests, schedule.answers, schedule.shared)


def _step(
    draws: Random, number: int, kind: str, pace_s: float, asked: Sequence[dict[str, Any]]
) -> Step:
    """Draw a step. `asked`: the first questions, which are asked again and again."""
    after_s = draws.choice((0.0, draws.uniform(0, pace_s), draws.expovariate(1 / pace_s)))
    leaves_s = draws.expovariate(100) if draws.random() < 0.12 else None
    again = kind == "ask" and asked and draws.random() < _AGAIN
    arguments = draws.choice(asked) if again else _DRAWN[kind](draws)
    return Step(number, after_s, kind, arguments, leaves_s)


def _key(draws: Random) -> str:
    """Draw the key of a user or a session."""
    if draws.random() < 0.6:
        return _user(draws)
    return str(user_key(None, draws.choice(SESSIONS), draws.choice(_NAMESPACES)))


def _user(draws: Random) -> str:
    return str(user_key(draws.choice(USERS), None, draws.choice(_NAMESPACES)))


def _merge(draws: Random) -> dict[str, Any]:
    namespace = draws.choice(_NAMESPACES)
    return {
        "session": user_key(None, draws.choice(SESSIONS), namespace),
        "user": user_key(draws.choice(USERS), None, namespace),
    }


def _who(draws: Random) -> dict[str, str]:
    kind = draws.random()
    if kind < 0.3:
        return {}
    if kind < 0.8:
        return {"user_id": draws.choice(USERS)}
    return {"session_id": draws.choice(SESSIONS)}


def _ask(draws: Random) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "caller": draws.choice(("", "", "", "shop", "bulk")),
        **_who(draws),
        "query": POISON if draws.random() < 0.04 else draws.choice(_QUERIES),
        "k": draws.choice((1, 3, 3, 3, 5)),
        "budget_ms": draws.choice(_BUDGETS_MS),
    }
    if draws.random() < 0.2:
        asked[draws.choice(("like", "dislike", "history", "exclude"))] = [draws.choice(ITEMS)]
    if draws.random() < 0.15:
        asked["filter"] = {"n": {"gte": draws.randrange(5)}}
    for name, chance in (("wants_newest", 0.1), ("next_page", 0.1), ("exclude_seen", 0.1)):
        if draws.random() < chance:
            asked[name] = True
    if draws.random() < 0.15:
        asked["max_stale_ms"] = draws.choice((50, 1000))
    if draws.random() < 0.05:
        asked["personalize"] = False
    return asked


def _asks(draws: Random) -> dict[str, Any]:
    asks = [_ask(draws) for _ in range(draws.randint(2, 5))]
    caller = asks[0]["caller"]
    return {"asks": [{**asked, "caller": caller} for asked in asks]}


def _events(draws: Random) -> dict[str, Any]:
    return {
        "who": _key(draws),
        "events": [
            (draws.randrange(40), draws.choice(ITEMS), draws.choice(_KINDS))
            for _ in range(draws.randint(1, 3))
        ],
    }


def _record(draws: Random) -> dict[str, Any]:
    return {
        "id": draws.choice(ITEMS),
        "title": POISON if draws.random() < 0.05 else f"title {draws.randrange(6)}",
        "n": draws.randrange(6),
    }


def _trouble(draws: Random) -> dict[str, Any]:
    part = draws.choice(list(PARTS))
    seconds = draws.choice((0.005, 0.05, 0.4, 2.0))
    return {"part": part, "mode": draws.choice(PARTS[part]), "seconds": seconds}


def _rule(draws: Random) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": f"r{draws.randrange(3)}"}
    rule["block"] = {"filter": {"n": {"lt": draws.choice((1, 3, 3))}}}
    if draws.random() < 0.5:
        rule["when"] = {"query": {"exact": draws.choice(("tea", "red tea"))}}
    return {"rule": rule, "lasts_s": draws.choice((None, None, 0.3))}


_DRAWN: Final = {
    "ask": _ask,
    "together": _asks,
    "event": _events,
    "undo": lambda draws: {"event": draws.randrange(40)},
    "attributes": lambda draws: {"user": _user(draws), "age": draws.randrange(90)},
    "merge": _merge,
    "erase": lambda draws: {"user": _user(draws)},
    "put": lambda draws: {"items": [_record(draws) for _ in range(draws.randint(1, 3))]},
    "patch": lambda draws: {"item": draws.choice(ITEMS[:9]), "n": draws.choice((0, 5))},
    "delete": lambda draws: {"item": draws.choice(ITEMS)},
    "reload": lambda _: {},
    "rule": _rule,
    "unrule": lambda draws: {"rule": f"r{draws.randrange(3)}"},
    "trouble": _trouble,
    "facets": lambda _: {},
    "die": lambda _: {},
}
