"""What a language model is asked to write about an answer: the prompt, and the facts as data.

Of an answer its query, and the titles and fields of the first items take part, and their reasons,
if the caller asked for them. No id, no user, no score.
"""

from functools import cache
from importlib.resources import files
from string import Template
from typing import Final

import orjson

from app.core.types import TextQuestion
from app.serving.telling.facts import MOST_TOLD, Facts, ItemFacts
from app.serving.telling.languages import fields_by_group

_MOST_FIELDS: Final = 12


def text_question(facts: Facts, max_tokens: int) -> TextQuestion:
    """Return what is asked about an answer. `max_tokens`: of what the model writes."""
    items = [_shown(item) for item in facts.items[:MOST_TOLD] if item.title]
    instructions = Template(_prompt()).substitute(language=facts.language.name, count=len(items))
    content = orjson.dumps({"query": facts.query, "items": items}).decode()
    return TextQuestion(instructions, f"Facts: {content}\nSentences:", max_tokens)


@cache
def _prompt() -> str:
    return files(__package__).joinpath("prompt.txt").read_text("utf-8")


def _shown(item: ItemFacts) -> dict[str, object]:
    shown: dict[str, object] = {"title": item.title}
    if item.year is not None:
        shown["year"] = item.year
    years = fields_by_group()["year"]
    fields = ((name, value) for name, value in item.fields.items() if name not in years)
    shown |= dict(list(fields)[:_MOST_FIELDS])
    if item.reason:
        shown["reason"] = item.reason
    return shown
