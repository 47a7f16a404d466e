"""What a language model is asked to write about an answer: the prompt, and the facts as data.

Of an answer the titles and fields of the first items take part, and their reasons, if the caller
asked for them. No query, no id, no user, no score.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from string import Template
from typing import Final

from app.core.types import TextQuestion
from app.serving.telling.evidence import natural_title
from app.serving.telling.facts import MOST_TOLD, Facts, FieldValue, ItemFacts
from app.serving.telling.languages import fields_by_group

_MOST_FIELDS: Final = 12
_MOST_VALUES: Final = 4


def text_question(facts: Facts, max_tokens: int) -> TextQuestion:
    """Return what is asked about an answer. `max_tokens`: of what the model writes."""
    instructions, example, written = _prompt()
    instructions = Template(instructions).substitute(language=facts.language.name)
    items = ["; ".join(_shown(item)) for item in facts.items[:MOST_TOLD] if item.title]
    # Small models read lines better than JSON. An item has one line, whatever is in its values.
    return TextQuestion(instructions, "\n".join(items), max_tokens, ((example, written),))


@cache
def _prompt() -> list[str]:
    """Return the instructions, an example of facts, and what is to be written about it."""
    text = files(__package__).joinpath("prompt.txt").read_text("utf-8")
    return [part.strip() for part in text.split("\n---\n")]


def _shown(item: ItemFacts) -> Iterator[str]:
    yield f"title: {natural_title(item.title or '')}"
    if item.year is not None:
        yield f"year: {item.year}"
    years = fields_by_group()["year"]
    names = [name for name in item.fields if name not in years]
    for name in names[:_MOST_FIELDS]:
        yield f"{name}: {_written(item.fields[name])}"
    if item.reason:
        yield f"reason: {item.reason}"


def _written(value: FieldValue) -> str:
    if isinstance(value, tuple):
        return ", ".join(value[:_MOST_VALUES])
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
