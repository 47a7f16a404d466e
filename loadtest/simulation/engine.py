"""The engine of the simulation: it takes virtual time, fails, and watches how it is used.

It is a `LiveEngine` as the service sees it. What the port forbids, such as two passes in the same
half, or a change during a pass, is noted as wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

from app.core.errors import EngineError
from app.core.ranking import BatchResult, RankedItem, RankRequest, RankResult, StageTimings
from app.core.types import Change, Generation
from app.testing.fakes import GatedEngine
from loadtest.simulation.ledger import Ledger, Timeline
from loadtest.simulation.ranking import Items, Record, Wanted, right_answer
from loadtest.simulation.threads import SimulatedThreads
from loadtest.simulation.troubles import Troubles

POISON: Final = "poison"
"""A query that makes every pass fail, and a title that no plan can be made for."""
NO_PLAN: Final = "the change cannot be planned"
_HALF_S: Final = 0.004
_APPLY_S: Final = 0.01
_PLAN_S: Final = 0.01
_TIMINGS: Final = StageTimings(1.0, 2.0, 3.0)


@dataclass(slots=True)
class Floor:
    """What all engines of one process share: the parts of the simulation, and who works now.

    Attributes:
        working: what is being done now, with the number of those who do it.
        ranked: for every half of a pass that ended, when, the queries, and whether it went well.
        dead: whether an engine is to kill its thread.
        serving: id of the bundle that serves.
    """

    threads: SimulatedThreads
    troubles: Troubles
    draws: Random
    ledger: Ledger
    working: dict[str, int] = field(default_factory=dict)
    ranked: list[tuple[float, tuple[str, ...], bool]] = field(default_factory=list)
    dead: bool = False
    serving: Callable[[], str] = str

    def now(self) -> float:
        """Return virtual seconds."""
        return self.threads.loop.time()

    def begin(self, work: str, *apart: str) -> None:
        """Note that work begins, which excludes itself and what is named in `apart`."""
        for other in (work, *apart):
            if self.working.get(other):
                self.ledger.complain("exclusive", f"{work} began during {other}")
        self.working[work] = self.working.get(work, 0) + 1

    def end(self, work: str) -> None:
        """Note that work ends."""
        self.working[work] -= 1


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What an engine ranks from one moment on."""

    generation: Generation
    items: Items


class SimulatedEngine(GatedEngine):
    """A `LiveEngine` over a few items.

    Attributes:
        states: what it ranked, and when.
    """

    def __init__(self, floor: Floor, bundle: str, items: Mapping[str, Record]) -> None:
        super().__init__(0, bundle=bundle)
        self._floor = floor
        self._base = items
        self._planned = 0
        self.states = Timeline(Catalogue(self._generation, dict(items)))

    def __repr__(self) -> str:
        return f"<SimulatedEngine {self._generation}>"

    def prepare(self, batch: Sequence[RankRequest]) -> Callable[[], BatchResult]:
        """Take some time, and fail if there is trouble."""
        floor = self._floor
        self._check_open()
        floor.begin("prepare", "apply")
        try:
            floor.threads.sleep(self._seconds(len(batch)))
            if floor.dead:
                raise SystemExit("the thread is to die")
            self._fail(batch)
        finally:
            floor.end("prepare")
        return partial(self.rank_prepared, batch)

    def rank_prepared(self, batch: Sequence[RankRequest]) -> BatchResult:
        """Rank, which takes some time too."""
        floor = self._floor
        self._check_open()
        floor.begin("rank", "apply")
        try:
            state = self.states.newest
            floor.threads.sleep(self._seconds(len(batch)))
            self._fail(batch)
            degraded = ("rerank",) if floor.troubles.has("engine", "degraded") else ()
            results = [self._answer(request, state.items, degraded) for request in batch]
            if self.states.newest is not state:
                floor.ledger.complain("one generation", f"{self!r} changed during a pass")
            self._note(batch, went_well=True)
            return BatchResult(tuple(results), _TIMINGS, state.generation)
        finally:
            floor.end("rank")

    def contains(self, item_id: str) -> bool:
        """Tell whether it is in the catalogue."""
        return item_id in self.states.newest.items

    def visible(self, item_id: str) -> bool:
        """Tell whether it is in the catalogue: all are visible."""
        return item_id in self.states.newest.items

    def record(self, item_id: str) -> dict[str, object] | None:
        """Return an item as it was put."""
        item = self.states.newest.items.get(item_id)
        return None if item is None else {"title": item.title, "n": item.n}

    def plan(self, changes: Sequence[Change], now: float = 0.0) -> Callable[[], None]:  # noqa: ARG002 - the port's signature
        """Take some time; return the call that makes the changes.

        If its caller goes away, planning may go on when the engine serves no more: that does no
        harm, because nobody makes those changes.
        """
        floor = self._floor
        floor.begin(f"plan {self._generation.bundle}", f"apply {self._generation.bundle}")
        try:
            before = self.states.newest
            floor.threads.sleep(floor.troubles.seconds("plans", _PLAN_S / 2))
            if any(change.record and change.record["title"] == POISON for change in changes):
                raise EngineError(NO_PLAN)
        finally:
            floor.end(f"plan {self._generation.bundle}")
        return partial(self._apply, before, changes)

    def _apply(self, before: Catalogue, changes: Sequence[Change]) -> None:
        floor = self._floor
        self._check_open()
        work = f"apply {self._generation.bundle}"
        floor.begin(work)
        serving = floor.serving() in {"", self._generation.bundle}
        if serving:
            floor.begin("apply", "prepare", "rank")
        floor.threads.sleep(floor.draws.uniform(0, _APPLY_S))
        if self.states.newest is not before:
            floor.ledger.complain("plans", f"{self!r} applies a plan that was made for {before}")
        items = dict(self.states.newest.items)
        for change in changes:
            self._changes[change.item] = change.seq
            shown_since = self._generation.visible_since_seq
            old = items.pop(change.item, None)
            if change.record is not None:
                title, n = str(change.record["title"]), int(str(change.record["n"]))
                items[change.item] = Record(title, n, str(change.seq))
                if old is None or old.title != title:
                    shown_since = change.seq
            self._generation = Generation(
                self._generation.bundle, change.seq, visible_since_seq=shown_since
            )
        self.states.add(floor.now(), Catalogue(self._generation, items))
        if serving:
            floor.end("apply")
        floor.end(work)

    def _answer(self, request: RankRequest, items: Items, degraded: tuple[str, ...]) -> RankResult:
        answer = right_answer(Wanted.of(request), items)
        if request.fast_encoding:
            degraded = (*degraded, "encoder")
        missing = dict.fromkeys(name for name in request.named if name not in items)
        return RankResult(
            tuple([RankedItem(name, 1.0 / n, title) for n, (name, title) in enumerate(answer, 1)]),
            tuple(missing),
            degraded,
        )

    def _seconds(self, n_requests: int) -> float:
        floor = self._floor
        return floor.troubles.seconds("engine", _HALF_S / 2) + 0.0002 * n_requests

    def _fail(self, batch: Sequence[RankRequest]) -> None:
        troubles, draws = self._floor.troubles, self._floor.draws
        flaky = troubles.has("engine", "raises") and draws.random() < 0.5
        poisoned = any(request.query == POISON for request in batch)
        if poisoned or flaky:
            self._note(batch, went_well=False)
            raise EngineError("poison") if draws.random() < 0.5 else RuntimeError("foreign")

    def _note(self, batch: Sequence[RankRequest], *, went_well: bool) -> None:
        queries = tuple([request.query for request in batch])
        self._floor.ranked.append((self._floor.now(), queries, went_well))

    def _check_open(self) -> None:
        if self.closed:
            self._floor.ledger.complain("closed", f"{self!r} works after it was closed")
