"""Fills shelves: several named rows for one user, none of which repeats an item.

    1. read what the user did, once, if a row needs it
    2. turn each row into a request for recommendations (`app.serving.shelves.rows`)
    3. ask for all rows together: the engine works on them in one pass
    4. give each item to the first row that has it

Rows that need a user, or something that the user has not done, are left out, and the answer says
so. A row that fails is an error in its place.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import ValidationError

from app.core.caller import Caller
from app.core.errors import AppError, StoreError
from app.core.ports import Engine
from app.core.store_ports import user_key
from app.core.types import Generation
from app.domain.request import MAX_EXCLUDE, SEEN_ALL
from app.domain.shelf_requests import Shelf, ShelvesRequest, WrongShelf
from app.serving.recommender import Recommender
from app.serving.response import Answer
from app.serving.shelves.rows import NothingToShow, Person, Row, RowMaker, kinds_of, reads_user
from app.serving.user_state import UserStates, seen_items, taste_of

_COPIED: Final = ("recommendation_id", "cache", "degraded", "missing_ids")
_COPIED_IF_THERE: Final = ("baseline",)


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row that could not be filled, and why; `name`: None where it has none."""

    name: str | None
    error: Exception


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that has nothing to show to this user, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Shelves:
    """The rows of one answer.

    Attributes:
        rows: what is shown of each row, ready for JSON, or its failure, in their order.
        left_out: the rows that are not there.
        generation: what all rows were made from.
    """

    rows: tuple[Mapping[str, Any] | FailedRow, ...]
    left_out: tuple[LeftOut, ...]
    generation: Generation


class ShelfFiller:
    """Fills shelves. All methods belong to one event loop."""

    def __init__(
        self,
        engine: Engine,
        recommender: Recommender,
        users: UserStates,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Ask `recommender` for rows. `now`: unix seconds."""
        self._engine, self._recommender, self._users = engine, recommender, users
        self._now = now

    async def fill(self, wanted: ShelvesRequest, caller: Caller) -> Shelves:
        """Return the rows; one that fails does not stop the others.

        `caller`: whose users are named.
        """
        planned, left_out = self._planned(wanted, await self._person(wanted, caller))
        rows = [each for each in planned if isinstance(each, Row)]
        asks = [row.ask for row in rows]
        answers = _read(await self._recommender.recommend_together(asks, caller))
        if len({each.bundle for each in _generations(answers)}) > 1:
            # Another bundle took over between two of them.
            answers = _read(await self._recommender.recommend_together(asks, caller))
        filled = iter(_filled(rows, answers))
        newest = max(_generations(answers), key=lambda each: each.catalogue, default=None)
        return Shelves(
            rows=tuple([next(filled) if isinstance(each, Row) else each for each in planned]),
            left_out=tuple(left_out),
            generation=newest or self._engine.info.generation,
        )

    async def _person(self, wanted: ShelvesRequest, caller: Caller) -> Person:
        """Return what the user did, if a row needs it."""
        if not wanted.has_user:
            return Person(unknown="it needs a user_id or a session_id")
        shelves = [each for each in wanted.shelves if isinstance(each, Shelf)]
        if not any(map(reads_user, shelves)):
            return Person()
        kinds = [kinds_of(shelf) for shelf in shelves if shelf.kind == "continue"]
        user = user_key(wanted.user_id, wanted.session_id, caller.namespace) or ""
        try:
            state = await self._users.read(
                user, SEEN_ALL, frozenset().union(*[kind for pair in kinds for kind in pair])
            )
        except StoreError as error:
            return Person(unknown=error.message)
        rules, now = self._users.rules, self._now()
        taste = taste_of(state, rules, now)
        seen, _ = seen_items(state, SEEN_ALL, rules, now)
        newest = dict.fromkeys(reversed(taste.history))
        had = dict.fromkeys((*newest, *taste.disliked, *sorted(seen)))
        return Person(
            taken=tuple(filter(self._engine.contains, newest)),
            had=tuple(had)[: MAX_EXCLUDE - len(wanted.exclude)],
            events=state.stored.events,
            rules=rules,
        )

    def _planned(
        self, wanted: ShelvesRequest, person: Person
    ) -> tuple[list[Row | FailedRow], list[LeftOut]]:
        """Return the rows in their order, and those that have nothing to show."""
        maker = RowMaker(self._engine, wanted, person)
        planned: list[Row | FailedRow] = []
        left_out: list[LeftOut] = []
        for shelf in wanted.shelves:
            if isinstance(shelf, WrongShelf):
                planned.append(FailedRow(shelf.name, shelf.error))
                continue
            try:
                planned.append(maker.row(shelf))
            except NothingToShow as nothing:
                left_out.append(LeftOut(shelf.name, str(nothing)))
            except (AppError, ValidationError) as error:
                planned.append(FailedRow(shelf.name, error))
        return planned, left_out


def _read(answers: Sequence[Answer | Exception]) -> list[dict[str, Any] | Exception]:
    return [each if isinstance(each, Exception) else orjson.loads(each.body) for each in answers]


def _generations(answers: Sequence[dict[str, Any] | Exception]) -> list[Generation]:
    return [
        Generation(each["generation"]["bundle"], each["generation"]["catalogue"])
        for each in answers
        if isinstance(each, dict)
    ]


def _filled(
    rows: Sequence[Row], answers: Sequence[dict[str, Any] | Exception]
) -> list[dict[str, Any] | FailedRow]:
    """Return what is shown of each row: an item is in the first row that has it."""
    shown: set[str] = set()
    filled: list[dict[str, Any] | FailedRow] = []
    for row, answer in zip(rows, answers, strict=True):
        if isinstance(answer, Exception):
            filled.append(FailedRow(row.shelf.name, answer))
            continue
        items = _chosen(row, [item for item in answer["items"] if item["id"] not in shown])
        shown.update([item["id"] for item in items])
        copied = (*_COPIED, *[name for name in _COPIED_IF_THERE if name in answer])
        filled.append(
            {
                "name": row.shelf.name,
                "kind": row.shelf.kind,
                "title": row.title,
                "item_id": row.item_id,
                **{name: answer[name] for name in copied},
                "items": items,
            }
        )
    return filled


def _chosen(row: Row, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the items of a row, in its order."""
    if row.given:
        places = {item: place for place, item in enumerate(row.given)}
        items = sorted(items, key=lambda item: places.get(item["id"], len(places)))
    elif row.pool:
        items = sorted(items[: row.pool], key=lambda item: -item["score"])
    return items[: row.size]
