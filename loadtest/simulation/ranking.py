"""What the right answer to a request is: a small, exact ranking that engine and checks share.

Each item of an answer has a title that says whose answer it is and from which state of the item:
so an answer that went to another caller, or that was made from another state, shows by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

import orjson

from app.core.rank_rules import RankRule
from app.core.ranking import RankRequest
from app.core.types import Attributes
from app.domain.query_text import normalised_query


@dataclass(frozen=True, slots=True)
class Record:
    """An item. `stamp`: bundle or number of the change that made it so. `n`: what filters read."""

    title: str
    n: int
    stamp: str


Items = Mapping[str, Record]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What decides an answer, beside the items."""

    query: str
    history: tuple[str, ...]
    like: tuple[str, ...]
    dislike: tuple[str, ...]
    exclude: frozenset[str]
    least_n: int | None
    attributes: Attributes
    rules: tuple[tuple[str, int], ...]
    k: int

    @classmethod
    def of(cls, request: RankRequest) -> "Wanted":
        """Return what a request asks of the engine."""
        return cls(
            query=normalised_query(request.query),
            history=request.history,
            like=request.like,
            dislike=request.dislike,
            exclude=request.exclude | request.seen,
            least_n=_least_n(request.filter),
            attributes=request.attributes,
            rules=tuple(map(named_block, request.rules.rules)),
            k=request.k,
        )

    def echo(self) -> str:
        """Return a text that is equal only for what must get the same answer."""
        said = (
            *(self.query, self.history, self.like, self.dislike, sorted(self.exclude)),
            *(self.least_n, self.attributes, self.rules, self.k),
        )
        return f"{self.query}~{crc32(repr(said).encode()):x}"


def named_block(rule: RankRule) -> tuple[str, int]:
    """Return the id of a rule, and the `n` below which it keeps items out."""
    return rule.id, int(orjson.loads(rule.filter)["n"]["lt"])


def right_answer(wanted: Wanted, items: Items) -> list[tuple[str, str]]:
    """Return the ids of the right answer with the title that each item has in it."""
    echo = wanted.echo()
    least = max([wanted.least_n or 0, *(n for _, n in wanted.rules)])
    taste = f"{wanted.query} {wanted.history} {wanted.like} {wanted.dislike}".encode()
    pool = [
        (crc32(f"{name} {record.title}".encode(), crc32(taste)), name)
        for name, record in items.items()
        if name not in wanted.exclude and record.n >= least
    ]
    pool.sort()
    return [(name, f"{echo} {items[name].stamp}") for _, name in pool[: wanted.k]]


def _least_n(filter_text: str) -> int | None:
    """Return what `n` is at least, in the only kind of filter that the simulation sends."""
    return int(orjson.loads(filter_text)["n"]["gte"]) if filter_text else None
