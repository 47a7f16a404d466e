"""What a user's state says, worked out again in a few lines: the checks compare with it.

It is written apart from `app.serving.user_state`, so that an error there shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from app.core.control_port import ControlState
from app.core.store_ports import user_key
from app.core.types import Attributes, StoredUser
from app.domain.event_rules import EventRule
from app.domain.query_text import normalised_query
from app.domain.rule import Rule
from loadtest.simulation.ranking import Items, Record, Wanted, named_block

RULES: Final = {
    "click": EventRule(weight=1.0),
    "dislike": EventRule(weight=-1.0),
    "impression": EventRule(weight=0.0),
}
_SIGNS: Final = {"click": 1, "dislike": -1}


@dataclass(frozen=True, slots=True)
class Bundle:
    """One generation: its items, the histories of users, and who they are."""

    id: str
    items: Items
    histories: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, Attributes]


def bundle_number(number: int) -> Bundle:
    """Return a generation; each has other items and histories."""
    name = f"films/{number}"
    items = {f"i{n}": Record(f"title {(n + number) % 7}", n % 6, name) for n in range(8)}
    histories = {"u:ann": ("i1", f"i{number % 5}"), "s:s1": ("i3",), "u:bob": ("i2",)}
    histories[str(user_key("ann", None, "shop"))] = ("i5",)
    return Bundle(name, items, histories, {"u:ann": (("age", float(number)),)})


def wanted_by(
    asked: Mapping[str, Any],
    user: str | None,
    stored: StoredUser,
    bundle: Bundle,
    rules: tuple[tuple[str, int], ...],
) -> Wanted:
    """Return what decides the answer to a request.

    Args:
        asked: the fields of the request, with `shown` for what earlier pages had.
        user: key of the user whose state takes part; None = nobody's does.
        stored: what the event store holds of the user.
        bundle: the generation that answers.
        rules: those that apply.
    """
    history: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    seen: set[str] = set()
    attributes: Attributes = ()
    if user is not None:
        people = stored.merged if stored.deleted else (user, *stored.merged)
        before = [item for person in people for item in bundle.histories.get(person, ())]
        signs: dict[str, int] = {}
        taken = []
        for event in stored.events:
            sign = _SIGNS.get(event.kind, 0)
            if sign:
                signs.pop(event.item, None)
                signs[event.item] = sign
                taken += [event.item] * (sign > 0)
        seen = {*before, *taken}
        history = (
            *(item for item in before if item not in signs),
            *(item for item in taken if signs[item] > 0),
        )
        disliked = tuple(item for item, sign in signs.items() if sign < 0)
        if stored.attributes is not None:
            attributes = stored.attributes
        elif not stored.deleted:
            attributes = bundle.attributes.get(user, ())
    said = {name: tuple(asked.get(name, ())) for name in ("history", "like", "dislike", "exclude")}
    named = {*said["history"], *said["like"], *said["dislike"]}
    disliked = tuple(item for item in disliked if item not in named)
    return Wanted(
        query=normalised_query(asked["query"]),
        history=(*history, *said["history"]),
        like=said["like"],
        dislike=(*disliked, *said["dislike"]),
        exclude=frozenset({*said["exclude"], *named, *asked["shown"], *seen, *disliked}),
        least_n=asked["filter"]["n"]["gte"] if "filter" in asked else None,
        attributes=attributes,
        rules=rules,
        k=asked["k"],
    )


def rules_for(query: str, state: ControlState, now: float) -> tuple[tuple[str, int], ...]:
    """Return the rules that apply to a query. `now`: unix seconds."""
    applying = []
    words = normalised_query(query)
    for entry in state.entries:
        rule = _read(entry.text)
        meant = rule.when is None or rule.when.query.exact == words
        if rule.begin <= now < rule.end and meant:
            applying.append(named_block(rule.for_engine()))
    return tuple(applying)


@lru_cache(maxsize=1024)
def _read(text: str) -> Rule:
    return Rule.model_validate_json(text)
