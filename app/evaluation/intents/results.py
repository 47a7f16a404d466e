"""Judges answers: whether the first items meet every demand of the label of a query.

A catalogue may hold fewer items that meet all demands than an answer has room for. Then those that
do meet them must come first. What is judged:

- bounds, values and negated values; words that must not occur ("sugar-free" is without sugar);
- the order, and that no item which belongs further up is left out;
- the number of items, where the query says one; no item that the query dislikes;
- that the item of a title comes first, where the query is or contains a title.

Likeness, tone and the residual text are not judged: they only rank.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from app.evaluation.intents.labels import LabelIntent, LabelledQuery

ItemValues = Mapping[str, Any]
"""An item as it was built from: field -> value."""

_DEFAULT_K: Final = 10
_RANKED: Final = "ranked"
_WELL_FILLED: Final = 0.9
_FREE_BEFORE: Final = (
    r"(?:\b(?:no|not|without|free (?:of|from))\s+(?:\w+\s+)?|不含|不带|没有|無|无)"
)
_FREE_AFTER: Final = r"(?:-free\b|\s+free\b)"


@dataclass(frozen=True, slots=True)
class JudgedCatalogue:
    """The items that were built, and how they are sorted.

    Attributes:
        items: id -> item.
        sort_keys: sort -> key of an item: larger comes first, None = last. A sort that is not there
            is not judged.
    """

    items: Mapping[str, ItemValues]
    sort_keys: Mapping[str, Callable[[ItemValues], float | None]]

    def is_filled(self, name: str) -> bool:
        """Tell whether 90 % of the items have a value of a field."""
        full = sum(item.get(name) not in (None, []) for item in self.items.values())
        return full >= _WELL_FILLED * len(self.items)

    def ids_of_title(self, title: str) -> list[str]:
        """Return the ids of all items of a title."""
        return [each for each, item in self.items.items() if item["title"] == title]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is wrong with an answer; "" = nothing.

    Attributes:
        all_demands: the first demand that is not met.
        firm_demands: the same, without the values that only rank: those of a field that few items
            have, or of a query in which words are left over.
    """

    all_demands: str
    firm_demands: str


def judge(
    label: LabelledQuery, catalogue: JudgedCatalogue, answer: Sequence[str]
) -> Judgement | None:
    """Judge the ids of an answer by the alternative that fits best; None = nothing to judge."""
    wanted = [intent for intent in label.intents if _is_judged(intent, catalogue)]
    if len(wanted) < len(label.intents):  # with one of its meanings, any answer is right
        return None
    found = [_judgement(intent, catalogue, answer) for intent in wanted]
    return min(found, key=lambda each: (bool(each.all_demands), bool(each.firm_demands)))


def meets(item: ItemValues, intent: LabelIntent) -> bool:
    """Tell whether an item meets the demands of a label."""
    groups, words = intent.get("values", ()), intent.get("without", ())
    return (
        all(_in_range(item, *bounds) for bounds in intent.get("ranges", ()))
        and not any(_in_range(item, *bounds) for bounds in intent.get("not_ranges", ()))
        and all(_has_one(item, name, values) for name, *values in groups)
        and not any(_has_one(item, name, values) for name, *values in intent.get("not_values", ()))
        and not any(mentions(item, word) for word in words)
    )


def mentions(item: ItemValues, word: str) -> bool:
    """Tell whether the words of an item mention something that it does not call absent.

    >>> mentions({"title": "Ice cream with sugar"}, "sugar")
    True
    >>> mentions({"title": "Ice cream sugar-free", "text": "Made without sugar."}, "sugar")
    False
    """
    texts = [item.get("title"), item.get("text"), *(item.get("categories") or ())]
    text = " . ".join(str(each) for each in texts if each).casefold()
    escaped = re.escape(word.casefold())
    whole = escaped if re.search(r"[\u3400-\u9fff]", word) else rf"\b{escaped}\b"
    absent = re.compile(f"{_FREE_BEFORE}{whole}|{whole}{_FREE_AFTER}")
    return re.search(whole, absent.sub(" ", text)) is not None


def _is_judged(intent: LabelIntent, catalogue: JudgedCatalogue) -> bool:
    judged = ("ranges", "not_ranges", "values", "not_values", "without", "dislike", "count")
    sorts = intent.get("sort") in catalogue.sort_keys
    return sorts or any(intent.get(name) for name in (*judged, "first"))


def _judgement(intent: LabelIntent, catalogue: JudgedCatalogue, answer: Sequence[str]) -> Judgement:
    if not (wrong := _wrong(intent, catalogue, answer)):
        return Judgement("", "")
    values = intent.get("values", ())
    left = bool(intent.get("residual"))
    firm = [group for group in values if not left and catalogue.is_filled(group[0])]
    if len(firm) == len(values):
        return Judgement(wrong, wrong)
    # Which items belong further up depends on the values that are left out here.
    part = {**intent, "values": firm, _RANKED: True}
    return Judgement(wrong, _wrong(part, catalogue, answer))


def _wrong(intent: LabelIntent, catalogue: JudgedCatalogue, answer: Sequence[str]) -> str:
    """Return what is wrong, "" if nothing is."""
    items = [catalogue.items[each] for each in answer]
    if intent.get("first"):
        return _wrong_title(intent, catalogue, items)
    meeting = [item for item in catalogue.items.values() if meets(item, intent)]
    disliked = set(intent.get("dislike", ()))
    if any(item["title"] in disliked for item in items):
        return "a disliked item came back"
    k = intent.get("count", _DEFAULT_K)
    named = {*disliked, *intent.get("like", ())}  # they do not come back
    n = min(k, sum(item["title"] not in named for item in meeting))
    if len(items) < n or ("count" in intent and len(items) > k):
        return f"{len(items)} items, not {n if len(items) < n else k}"
    for position, item in enumerate(items[:n], 1):
        if not meets(item, intent):
            return f"item {position} ({item['title']!r}) does not meet the demands"
    return _wrong_order(intent, catalogue, items[:n], meeting)


def _wrong_title(
    intent: LabelIntent, catalogue: JudgedCatalogue, items: Sequence[ItemValues]
) -> str:
    named = [item for item in catalogue.items.values() if item["title"] in intent["first"]]
    fitting = [item for item in named if meets(item, {**intent, "values": []})]
    if items and items[0] in (fitting or named):
        return ""
    return f"the first is {items[0]['title']!r}, not the title" if items else "no items"


def _wrong_order(
    intent: LabelIntent,
    catalogue: JudgedCatalogue,
    items: Sequence[ItemValues],
    meeting: Sequence[ItemValues],
) -> str:
    key_of = catalogue.sort_keys.get(intent.get("sort", ""))
    if key_of is None:
        return ""
    keys = [_or_last(key_of(item)) for item in items]
    if keys != sorted(keys, reverse=True):
        return "not in the order of the sort"
    ranks = ("residual", "without", "tone", "like", "dislike", _RANKED)
    if any(intent.get(name) for name in ranks):
        return ""
    best = sorted((_or_last(key_of(item)) for item in meeting), reverse=True)[: len(keys)]
    return "" if keys == best else "not the first ones of the sort"


def _or_last(key: float | None) -> float:
    return -math.inf if key is None or math.isnan(key) else key


def _in_range(item: ItemValues, name: str, low: Any, high: Any) -> bool:  # noqa: ANN401 - JSON
    value = item.get(name)
    if value is None:
        return False
    if name == "published_at":
        day = published(item)
        return day is not None and (low or "") <= day <= (high or "9999")
    return (low is None or value >= low) and (high is None or value <= high)


def _has_one(item: ItemValues, name: str, values: Sequence[str]) -> bool:
    value = item.get(name)
    own = value if isinstance(value, list | tuple) else [value]
    return not set(own).isdisjoint(values)


def published(item: ItemValues) -> str | None:
    """Return the day of an item, `2026-11-30`; a bare year is its first day."""
    value = item.get("published_at")
    if value is None:
        return None
    return f"{value:04d}-01-01" if isinstance(value, int) else str(value)[:10]


def date_key(item: ItemValues) -> float | None:
    """Return the moment of an item in unix seconds: the key of "newest"."""
    value = item.get("published_at")
    if value is None:
        return None
    if isinstance(value, int):
        return datetime(value, 1, 1, tzinfo=UTC).timestamp()
    moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def number_key(name: str, sign: int) -> Callable[[ItemValues], float | None]:
    """Return the key of a sort by an attribute; `sign` −1 = the smallest first."""

    def key(item: ItemValues) -> float | None:
        value = item.get(name)
        return None if value is None else sign * float(value)

    return key
