"""A short text about an answer that is true whatever the answer: sentences filled with facts."""

from collections.abc import Iterator

from app.serving.telling.facts import MOST_TOLD, Facts, ItemFacts
from app.serving.telling.languages import fields_by_group

_MOST_TITLE_CHARACTERS = 200
_MOST_CATEGORIES = 4


def template_text(facts: Facts) -> list[str]:
    """Return the sentences: one about the list, and one for each of the first items."""
    return [lead(facts), *(text for _, text in item_sentences(facts))]


def lead(facts: Facts) -> str:
    """Return the sentence about the list."""
    templates, count = facts.language.template, facts.n_items
    if not count:
        return templates["none"]
    name = ("lead" if facts.query else "plain_lead") + ("_one" if count == 1 else "")
    return templates[name].format(count=count, query=facts.query)


def item_sentences(facts: Facts) -> Iterator[tuple[int, str]]:
    """Yield place and sentence of each of the first items that has a title."""
    for place in range(min(MOST_TOLD, len(facts.items))):
        text = item_sentence(facts, place)
        if text:
            yield place, text


def item_sentence(facts: Facts, place: int) -> str:
    """Return what is said of an item; "" = it has no title, so there is no name for it."""
    item, templates = facts.items[place], facts.language.template
    if item.title is None or len(item.title) > _MOST_TITLE_CHARACTERS:
        return ""
    categories = item.fields.get("categories")
    parts = categories[:_MOST_CATEGORIES] if isinstance(categories, tuple) else ()
    name = "_".join(part for part, there in (("year", item.year), ("categories", parts)) if there)
    sentence = templates[name or "title"].format(
        title=item.title, year=item.year, categories=templates["comma"].join(parts)
    )
    space = templates["space"]
    price = _price(item)
    if price:
        sentence += space + templates["price"].format(title=item.title, price=price)
    return f"{sentence}{space}{item.reason}" if item.reason else sentence


def _price(item: ItemFacts) -> str:
    """Return the price, as a catalogue without a currency says it; "" = unknown."""
    values = [item.fields[name] for name in fields_by_group()["price"] if name in item.fields]
    if len(values) != 1 or isinstance(values[0], bool) or not isinstance(values[0], int | float):
        return ""
    return f"{values[0]:g}" if values[0] < 1e6 else f"{values[0]:.0f}"
