"""Fakes of the ports engine, cache and user store, for tests and load tests only.

They pass the same contract suites as the real parts. They use no network, model or clock.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from app.core.errors import EngineError, StoreError
from app.core.explanation import KeptOut, LostItem
from app.core.ranking import (
    BatchResult,
    RankedItem,
    RankRequest,
    RankResult,
    SourceHit,
    StageTimings,
)
from app.core.survey import CatalogueSurvey, SurveyedItem
from app.core.types import (
    Attributes,
    CacheRead,
    Change,
    Context,
    EngineInfo,
    Facets,
    FieldFacts,
    Generation,
    Item,
)
from app.domain.filters import matches, parse_filter
from app.domain.intent import INTENT_OFF, Intent, intent_of

_TIMEOUT_S: Final = 10.0
_MAX_HISTORY: Final = 200


class GatedEngine:
    """A `LiveEngine` that ranks its items in a fixed order, and whose passes a test can hold.

    While it is held, `prepare` blocks at its start. The title of each item in an answer is the
    query, so that a test notices an answer that went to the wrong caller.

    Attributes:
        batches: every batch that entered a pass, in order.
        poison: queries that make a pass fail with `EngineError`.
        valid_until: what it says of every result.
        max_per: the default of its catalogue.
        weak: queries of which it says that little was understood, unless an intent is sent.
        short_by: how many results a pass leaves out.
        death: if set, `prepare` raises it.
        closed: whether `close` was called.
    """

    def __init__(
        self, n_items: int = 300, *, held: bool = False, bundle: str = "fake/1", catalogue: int = 0
    ) -> None:
        self.batches: list[tuple[RankRequest, ...]] = []
        self.poison: set[str] = set()
        self.valid_until = float("inf")
        self.max_per: tuple[tuple[str, int], ...] = ()
        self.weak: set[str] = set()
        self.short_by = 0
        self.death: BaseException | None = None
        self.closed = False
        self._generation = Generation(bundle, catalogue)
        self._items = {f"i{n}": Item(f"i{n}", f"Item {n}", {"n": n}) for n in range(n_items)}
        self._changes: dict[str, int] = {}
        self._changed = threading.Condition()
        self._held = held
        self._steps = 0

    def __repr__(self) -> str:
        return f"<GatedEngine {'held' if self._held else 'open'}, {len(self.batches)} batches>"

    @property
    def info(self) -> EngineInfo:
        """An invented catalogue with one field, `n`."""
        return EngineInfo(
            bundle=self._generation.bundle,
            bundle_name="fake",
            catalogue=self._generation.catalogue,
            n_items=len(self._items),
            n_users=0,
            n_events=0,
            dim=64,
            encoder="hash-64",
            index="none",
            scorer="none",
            attributes={"n": "number"},
            max_per=self.max_per,
            visible_since_seq=self._generation.visible_since_seq,
        )

    def hold(self) -> None:
        """Hold every pass that enters from now on."""
        with self._changed:
            self._held = True

    def release(self) -> None:
        """Let all passes through, also those that wait now."""
        with self._changed:
            self._held = False
            self._changed.notify_all()

    def step(self) -> None:
        """Let exactly one pass through."""
        with self._changed:
            self._steps += 1
            self._changed.notify_all()

    def wait_entered(self, n: int) -> None:
        """Block until `n` passes have entered. Raises TimeoutError after ten seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.batches) >= n, _TIMEOUT_S):
                raise TimeoutError(f"{len(self.batches)} passes entered, not {n}")

    def cost(self, request: RankRequest) -> int:
        """Return one token for each word, and one for the request."""
        if request.fast_encoding:
            return 1
        return 1 + len(request.query.split())

    def fast_encoding(self, request: RankRequest) -> RankRequest | None:
        """Return the request with fast encoding: it costs one token, whatever the query."""
        return request._replace(fast_encoding=True) if request.query else None

    def prepare(self, batch: Sequence[RankRequest]) -> Callable[[], BatchResult]:
        """Wait while the engine is held; return a call of `rank_prepared`."""
        with self._changed:
            self.batches.append(tuple(batch))
            self._changed.notify_all()
            self._changed.wait_for(self._may_pass)
        if self.death is not None:
            raise self.death
        for request in batch:
            if request.query in self.poison:
                raise EngineError("poison")
        return partial(self.rank_prepared, batch)

    def rank(self, batch: Sequence[RankRequest]) -> BatchResult:
        """Do both halves of a pass."""
        return self.prepare(batch)()

    def rank_prepared(self, batch: Sequence[RankRequest]) -> BatchResult:
        """Rank by catalogue order."""
        results = tuple(self._rank_one(request) for request in batch)
        timings = StageTimings(1.0, 2.0, 3.0)
        return BatchResult(results[: len(batch) - self.short_by], timings, self._generation)

    def check_filter(self, filter_text: str, where: str = "filter") -> None:
        """Check a filter against the one field."""
        parse_filter(filter_text, self.info.attributes, where)

    def known_context(self, context: Context) -> Context:
        """Return all but what is called `unknown`."""
        return tuple([(name, value) for name, value in context if name != "unknown"])

    def facets(self, filter_text: str, fields: Sequence[str], limit: int) -> Facets:  # noqa: ARG002 - a number has no frequent values
        """Count the values of the one field."""
        test = parse_filter(filter_text, self.info.attributes) if filter_text else None
        passing = [
            i.fields["n"] for i in self._items.values() if not test or matches(test, i.fields)
        ]
        low, high = (passing[0], passing[-1]) if passing else (None, None)
        facts = [FieldFacts(name, "number", len(passing), low=low, high=high) for name in fields]
        return Facets(len(passing), tuple(facts))

    def survey(self, most: int) -> CatalogueSurvey:
        """Return its first items, which have titles and nothing else."""
        items = tuple(
            [
                SurveyedItem(
                    i.id, i.title, has_text=False, has_vector=True, is_cut=False, visible=True
                )
                for i in list(self._items.values())[:most]
            ]
        )
        return CatalogueSurvey(len(self._items), items, {})

    def interpret(self, query: str, now: float, *, look_up: bool) -> str | None:  # noqa: ARG002
        """Return that a query asks for its own words, and for as many items as it begins with.

        "like …" names a title.
        """
        return None if query.startswith("like ") and not look_up else self._interpreted(query)

    @staticmethod
    def _interpreted(query: str) -> str:
        first, *_ = query.split() or ("",)
        count = int(first) if first.isdecimal() else None
        return Intent(count=count, residual_text=query).text()

    def item_of_title(self, title: str) -> str | None:
        """Return the item with this title, in any case."""
        typed = title.casefold()
        return next(
            (i.id for i in self._items.values() if (i.title or "").casefold() == typed), None
        )

    def why_not(self, request: RankRequest, item_id: str, kept_out: KeptOut | None) -> LostItem:
        """Tell only what the service knows, or the place."""
        if kept_out is not None:
            return LostItem(kept_out.stage, {"by": kept_out.by, **kept_out.details}, kept_out.by)
        ids = [item.id for item in self._rank_one(request).items]
        if item_id in ids:
            return LostItem("answered", {"place": 1 + ids.index(item_id)}, "here")
        return LostItem("outranked" if item_id in self._items else "unknown", {}, "not here")

    def item(self, item_id: str) -> Item | None:
        """Return one of the items."""
        return self._items.get(item_id)

    def contains(self, item_id: str) -> bool:
        """Tell whether the item is one of the items."""
        return item_id in self._items

    def unchanged(self, item_id: str, since: int) -> bool:
        """Compare with the number of the item's newest change."""
        return self._changes.get(item_id, 0) <= since

    def visible(self, item_id: str) -> bool:
        """Tell whether the item is one of the items: all are visible."""
        return item_id in self._items

    next_boundary = float("inf")

    def record(self, item_id: str) -> dict[str, object] | None:
        """Return the title of one of the items."""
        item = self._items.get(item_id)
        return None if item is None else {"title": item.title}

    def plan(self, changes: Sequence[Change], now: float = 0.0) -> Callable[[], None]:  # noqa: ARG002 - the port's signature
        """Return a call that changes the items; every item that is put counts as visible."""
        return partial(self._perform, changes)

    def _perform(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self._items.pop(change.item, None)
            self._changes[change.item] = change.seq
            visible_since_seq = self._generation.visible_since_seq
            if change.record is not None:
                visible_since_seq = change.seq
                self._items[change.item] = Item(change.item, _title(change), {"n": None})
            bundle = self._generation.bundle
            self._generation = Generation(bundle, change.seq, visible_since_seq=visible_since_seq)

    def merge(self) -> None:
        """Return that there is nothing to merge."""

    def advance(self, now: float) -> None:
        """Do nothing: the items have no times."""

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _may_pass(self) -> bool:
        if self._held and self._steps:
            self._steps -= 1
            return True
        return not self._held

    def _rank_one(self, request: RankRequest) -> RankResult:
        pool = self._items if request.candidates is None else request.candidates
        excluded = request.exclude.union(self._unnamed(request))
        ids = [name for name in pool if name in self._items and name not in excluded]
        if request.filter:
            test = parse_filter(request.filter, self.info.attributes)
            ids = [name for name in ids if matches(test, self._items[name].fields)]
        intent = self._intent(request)
        demanding = bool(intent) and not intent_of(intent).is_plain
        count = intent_of(intent).count if intent else None
        k = count if count and request.k_is_default else request.k
        items = tuple(
            RankedItem(
                id=name,
                score=1.0 / rank,
                title=request.query,
                fields={field: self._items[name].fields.get(field) for field in request.fields},
                sources=(SourceHit("fake", rank, 1.0 / rank),),
                seen=name in request.seen,
            )
            for rank, name in enumerate(ids[:k], start=1)
        )
        missing = tuple(dict.fromkeys(name for name in request.named if name not in self._items))
        return RankResult(
            items,
            missing,
            intent=intent,
            count=count,
            weak=request.query in self.weak and not request.intent,
            valid_until=self.valid_until,
            depends_on_catalogue=bool(request.max_per) or demanding,
        )

    def _intent(self, request: RankRequest) -> str:
        if request.intent == INTENT_OFF:
            return Intent(residual_text=request.query).text()
        return request.intent or (self._interpreted(request.query) if request.query else "")

    def _unnamed(self, request: RankRequest) -> set[str]:
        """Return what was seen and is not what the query names, by its title here."""
        return {
            name
            for name in request.seen
            if not request.query or _title_of(self._items.get(name)) != request.query
        }


class MemoryCache:
    """A `Cache` in a dictionary: never forgets, never fails."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    def __repr__(self) -> str:
        return f"<MemoryCache {len(self.values)} values>"

    async def get(self, fingerprint: bytes, state: bytes = b"") -> CacheRead:
        """Return the value that was put last, if it was put with this state."""
        value = self.values.get(fingerprint)
        if value is None or not value.startswith(state):
            return CacheRead(None)
        return CacheRead(value[len(state) :])

    async def put(self, fingerprint: bytes, value: bytes, state: bytes = b"") -> None:
        """Store the value."""
        self.values[fingerprint] = state + value

    async def aclose(self) -> None:
        """Do nothing."""


class DownCache:
    """A `Cache` whose server is down: every read is a failed miss, and every write is lost."""

    async def get(self, fingerprint: bytes, state: bytes = b"") -> CacheRead:  # noqa: ARG002 - the port's signature
        """Return a failed miss."""
        return CacheRead(None, failed=True)

    async def put(self, fingerprint: bytes, value: bytes, state: bytes = b"") -> None:
        """Lose the value."""

    async def aclose(self) -> None:
        """Do nothing."""


class MemoryUserStore:
    """A `UserStore` over a mapping of user key to item ids, oldest first, and one to attributes."""

    def __init__(
        self,
        histories: Mapping[str, Sequence[str]],
        attributes: Mapping[str, Attributes] | None = None,
    ) -> None:
        self._histories = {user: tuple(items) for user, items in histories.items()}
        self._attributes = attributes or {}

    async def history(self, user: str) -> tuple[str, ...]:
        """Return the newest 200 ids, oldest first; none if the user is unknown."""
        return self._histories.get(user, ())[-_MAX_HISTORY:]

    async def seen(self, user: str) -> frozenset[str]:
        """Return all ids; empty if unknown."""
        return frozenset(self._histories.get(user, ()))

    async def attributes(self, user: str) -> Attributes:
        """Return the attributes; none if unknown."""
        return self._attributes.get(user, ())

    async def aclose(self) -> None:
        """Do nothing."""


def _title_of(item: Item | None) -> str | None:
    return None if item is None else item.title


def _title(change: Change) -> str:
    return str((change.record or {}).get("title", ""))


class DownUserStore:
    """A `UserStore` that cannot be read."""

    async def history(self, user: str) -> tuple[str, ...]:  # noqa: ARG002 - the port's signature
        """Raise StoreError, always."""
        raise StoreError("user state cannot be read")

    async def seen(self, user: str) -> frozenset[str]:  # noqa: ARG002 - the port's signature
        """Raise StoreError, always."""
        raise StoreError("user state cannot be read")

    async def attributes(self, user: str) -> Attributes:  # noqa: ARG002 - the port's signature
        """Raise StoreError, always."""
        raise StoreError("user state cannot be read")

    async def aclose(self) -> None:
        """Do nothing."""
