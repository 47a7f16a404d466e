"""What each row of shelves asks for: its kind fills some fields of a request.

    continue  candidates: what the user began and did not finish, begun last first
    because   like: the newest item that the user took, or the one that the shelf names
    new       intent: the newest items; for a user, those that suit best among them
    popular   intent: the popular items; where the engine knows the context, what is taken there
    request   what the fields of the shelf ask for

A row asks for as many items more as the rows before it have, so that it stays full when their items
go out of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.core.errors import NotFoundError
from app.core.ports import Engine
from app.core.types import Event
from app.domain.event_rules import EventRule
from app.domain.named_values import WrongValue, bucketed, context_of
from app.domain.request import RecommendRequest
from app.domain.request_parts import MAX_K
from app.domain.sent_intent import SentIntent
from app.domain.shelf_requests import Shelf, ShelvesRequest
from app.serving.shelves.titles import TitleOf, title_of, with_item
from app.serving.shelves.unfinished import BEGUN, FINISHED, unfinished_items

NEW_POOL: Final = 5
"""A row of new items for a user chooses from so many times as many of the newest."""

_NEWEST: Final = SentIntent(sort="newest")
_POPULAR: Final = SentIntent(sort="popular")


class NothingToShow(Exception):  # noqa: N818 - no error: the row is left out
    """A row has nothing to show to this user; the text says why."""


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of the user before any row is asked for.

    Attributes:
        taken: items of positive events that are in the catalogue, newest first.
        had: items that the user took or turned away from.
        events: of the kinds that the rows need, oldest first.
        rules: what each kind of event means.
        unknown: why nothing of all this is known; "" = it is.
    """

    taken: tuple[str, ...] = ()
    had: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    rules: Mapping[str, EventRule] = field(default_factory=dict)
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """What one row asks for, and how its items are chosen from the answer.

    Attributes:
        size: how many items it shows at most.
        item_id: the item of a `because` row.
        given: items in the order in which they are shown; () = as they are ranked.
        pool: so many of the first items are ordered by their score; 0 = the order stays.
    """

    shelf: Shelf
    title: str
    size: int
    ask: RecommendRequest
    item_id: str | None = None
    given: tuple[str, ...] = ()
    pool: int = 0


def reads_user(shelf: Shelf) -> bool:
    """Tell whether it must be known what the user did before the row can be asked for."""
    return shelf.kind in {"continue", "popular"} or (
        shelf.kind == "because" and shelf.item_id is None
    )


def kinds_of(shelf: Shelf) -> tuple[frozenset[str], frozenset[str]]:
    """Return the kinds of events that begin an item, and those that finish it, for a row."""
    begun = BEGUN if shelf.begun is None else shelf.begun
    return frozenset(begun), frozenset(FINISHED if shelf.finished is None else shelf.finished)


class RowMaker:
    """Makes the rows of one request, in their order."""

    def __init__(self, engine: Engine, wanted: ShelvesRequest, person: Person) -> None:
        """Make rows for `person`; `engine` knows the items, and which context matters."""
        self._engine, self._wanted, self._person = engine, wanted, person
        self._because: Iterator[str] = iter(person.taken)
        self._before = 0  # items of the rows so far

    def row(self, shelf: Shelf) -> Row:
        """Return the next row.

        Raises:
            NothingToShow: the row needs a user, or something that the user has not done.
            NotFoundError: it names an item that is not in the catalogue.
            ValidationError: its fields do not go with those of the whole request.
        """
        if shelf.kind == "continue":
            row = self._continue(shelf)
        elif shelf.kind == "because":
            row = self._like_one(shelf)
        elif shelf.kind == "new":
            row = self._new(shelf)
        elif shelf.kind == "popular":
            row = self._popular(shelf)
        else:
            row = self._made(shelf, shelf.name)
        self._before += row.size
        return row

    def _made(
        self,
        shelf: Shelf,
        title: str,
        *,
        pool: int = 0,
        **filled: Any,  # noqa: ANN401 - fields
    ) -> Row:
        size = self._wanted.size_of(shelf)
        k = min(self._before + max(size, pool), MAX_K)
        ask = self._wanted.asked(shelf, **{"k": k, **filled})
        return Row(shelf, title if shelf.title is None else shelf.title, size, ask, pool=pool)

    def _known(self) -> Person:
        if self._person.unknown:
            raise NothingToShow(self._person.unknown)
        return self._person

    def _continue(self, shelf: Shelf) -> Row:
        person = self._known()
        begun, finished = kinds_of(shelf)
        items = unfinished_items(person.events, person.rules, begun, finished)
        there = tuple(filter(self._engine.visible, items))[:MAX_K]
        if not there:
            raise NothingToShow("the user has begun nothing that is not finished")
        made = self._made(shelf, self._title("continue"), candidates=there, k=len(there))
        return Row(shelf, made.title, made.size, made.ask, given=there)

    def _like_one(self, shelf: Shelf) -> Row:
        item_id = shelf.item_id
        if item_id is None:
            self._known()
            item_id = next(self._because, None)
            if item_id is None:
                raise NothingToShow("the user has taken nothing, or no more, that is known")
        item = self._engine.item(item_id)
        if item is None:
            raise NotFoundError("the catalogue contains no such item", field="item_id")
        made = self._made(shelf, self._title("because"), like=(item_id,))
        title = with_item(made.title, item.title or item_id)
        return Row(shelf, title, made.size, made.ask, item_id=item_id)

    def _new(self, shelf: Shelf) -> Row:
        if not self._wanted.has_user:
            return self._made(shelf, self._title("new"), intent=_NEWEST)
        pool = NEW_POOL * self._wanted.size_of(shelf)
        return self._made(shelf, self._title("new_for_you"), pool=pool, intent=_NEWEST)

    def _popular(self, shelf: Shelf) -> Row:
        is_near = self._is_known(shelf.context or self._wanted.context)
        title = self._title("popular_near_you" if is_near else "popular")
        if not is_near:
            return self._made(shelf, title, intent=_POPULAR)
        # What is taken in such a place: a history would make it what suits the user.
        return self._made(shelf, title, personalize=False, exclude=self._person.had)

    def _is_known(self, context: Mapping[str, object] | None) -> bool:
        if not context:
            return False
        try:
            return bool(self._engine.known_context(bucketed(context_of(context))))
        except WrongValue:
            return False  # the planner refuses the row, and says why

    def _title(self, kind: TitleOf) -> str:
        return title_of(kind, self._wanted.language)
