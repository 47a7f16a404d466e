"""Facts and sentences about made-up answers, which several tests of texts are run on."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from app.core.types import Item
from app.serving.telling.check import Check
from app.serving.telling.facts import Facts, facts_of

DATA = Path(__file__).parent / "data" / "telling"


@cache
def answers() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((DATA / "answers.json").read_text("utf-8"))
    return content


def facts(name: str, **changes: Any) -> Facts:
    """The facts of an answer of the data; `changes`: of what the query was taken for."""
    answer = answers()[name]
    return made_facts(
        answer["items"], answer["query"], **{"language": answer["language"]} | changes
    )


def made_facts(items: list[dict[str, Any]], query: str = "", language: str = "en") -> Facts:
    known = {each["id"]: Item(each["id"], each["title"], each["fields"]) for each in items}
    shown = [{"fields": {}, **{k: v for k, v in each.items() if k != "fields"}} for each in items]
    body = orjson.dumps({"items": shown, "intent": {"language": language}})
    return facts_of(body, query, known.get)


@cache
def check(name: str) -> Check:
    return Check(facts(name))


def lines(name: str) -> Iterator[dict[str, str]]:
    for line in (DATA / name).read_text("utf-8").splitlines():
        yield json.loads(line)
