"""Broken parts: each takes the place of a real one, and the simulation must find it.

Each is a mistake that is easily made. A fault swaps one name in the module that wires or uses the
part, for the time of a block; no part of the service knows of it.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final

import app.bootstrap as wiring
import app.serving.batching.batcher as batching
import app.serving.request_plan as planning
import app.serving.user_state as states
from app.core.errors import StoreError
from app.core.rank_rules import RankRules
from app.core.ranking import RankRequest
from app.core.types import Event
from app.serving.batching.batcher import Batcher
from app.serving.batching.lanes import PendingQueue
from app.serving.batching.passes import ExclusiveCalls, Passes
from app.serving.batching.queue import Pass, QueueEntry
from app.serving.caching.answers import CacheLookup, Caches
from app.serving.caching.keys import fingerprint
from app.serving.caching.single_flight import SingleFlight
from app.serving.ingest import Ingest
from app.serving.live_catalogue import LiveCatalogue
from app.serving.recommender import Recommender


class _LostPromise(Batcher[Any, Any]):
    """Forgets the last request of a full batch."""

    def _answer(self, batch: Sequence[QueueEntry[Any, Any]], started_at: float, done: Any) -> None:
        kept = batch[:-1] if len(batch) > 2 else batch
        super()._answer(kept, started_at, replace(done, results=done.results[: len(kept)]))


class _CrossedAnswer(Batcher[Any, Any]):
    """Leaves callers out that went away, and gives their answers to those behind them."""

    def _answer(self, batch: Sequence[QueueEntry[Any, Any]], started_at: float, done: Any) -> None:
        waiting = [entry for entry in batch if not entry.abandoned]
        super()._answer(waiting, started_at, replace(done, results=done.results[: len(waiting)]))


class _LeakedSlot(Passes[Any, Any]):
    """Does not release the thread that ranks after a pass that failed."""

    def _rank(self, rank: Callable[[], Pass[Any]], n_items: int) -> Pass[Any]:
        done = rank()
        self._rank_slot.release()
        return done


class _LeakedTokens(PendingQueue[Any]):
    """Forgets to give the tokens of a request back whose caller went away."""

    def discard(self, entry: Any) -> None:
        tokens = self.tokens
        super().discard(entry)
        if entry.answer.cancelled():
            self.tokens = tokens


class _LeakedTurn(LiveCatalogue):
    """Forgets to count down when a change fails."""

    async def _record_some(self, changes: Any) -> int:
        try:
            return await super()._record_some(changes)
        except Exception:
            self._waiting += 1
            raise


class _OverlappingCalls(ExclusiveCalls):
    """Lets a caller go away before its call has ended, as it once was."""

    async def result(self, call: Callable[[], Any]) -> Any:
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((call, answer))
        outcome = await answer
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class _CachedError(SingleFlight[Any]):
    """Remembers a computation that failed, and lets later callers join it."""

    def _forget(self, key: bytes, flight: Any) -> None:
        computation = flight.computation
        failed = computation.done() and not computation.cancelled() and computation.exception()
        if not failed:
            super()._forget(key, flight)

    def flying(self, key: bytes) -> bool:
        return key in self._flights


class _CachedDegraded(Recommender):
    """Caches what was made while a part was missing."""

    def _computed(self, plan: Any, done: Any) -> Any:
        whole = replace(done.result, degraded=())
        return super()._computed(replace(plan, degraded=()), replace(done, result=whole))


class _ForgottenChanges(Caches):
    """Does not ask whether the items of a cached answer have changed."""

    def _is_valid(self, lookup: CacheLookup, value: bytes) -> bool:
        return True


class _ForgottenUserState(Caches):
    """Reads what was cached of any state of the user."""

    async def get(self, lookup: CacheLookup) -> tuple[bytes | None, bool]:
        return await super().get(replace(lookup, user_state=bytes(len(lookup.user_state))))

    def put(self, lookup: CacheLookup, tail: bytes, validity: Any) -> None:
        super().put(replace(lookup, user_state=bytes(len(lookup.user_state))), tail, validity)


class _DroppedEvent(Ingest):
    """Says that events are stored where the store failed."""

    async def _append(self, events: Sequence[Event]) -> int:
        with suppress(StoreError):
            return await super()._append(events)
        return len(events)


class _EarlyEvent(Ingest):
    """Says that events are stored before they are."""

    async def _append(self, events: Sequence[Event]) -> int:
        self._late = asyncio.create_task(_quietly(super()._append(events)))
        return len(events)


class _EarlyChange(LiveCatalogue):
    """Says that a change is in force when it is in the journal."""

    async def _record_some(self, changes: Any) -> int:
        return (await self._journal.append(changes))[-1].seq


class _ChangeInAPass(LiveCatalogue):
    """Makes changes beside the passes, not between them."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{**named, "run_exclusive": self._beside})


class _ForgottenHandover(LiveCatalogue):
    """Lets a new bundle serve without the changes that were made before."""

    async def _catch_up(self, applier: Any = None) -> None:
        if applier is None:
            await super()._catch_up()


async def _quietly(call: Any) -> None:
    with suppress(StoreError):
        await call


def _without_bundle(request: RankRequest, bundle: str, **rest: Any) -> bytes:
    """Leave the bundle out of the key of the caches."""
    return fingerprint(request, "", **rest)


def _without_rules(request: RankRequest, bundle: str, **rest: Any) -> bytes:
    """Leave the rules out of the key of the caches."""
    return fingerprint(request._replace(rules=RankRequest().rules), bundle, **rest)


async def _returning(frozen: Any, user: str, stored: Any, *, with_seen: bool) -> Any:
    """Use what the bundle has of a user who was erased."""
    return await _layered(frozen, user, replace(stored, deleted=False), with_seen=with_seen)


_layered = states._layered


def _no_fields(_: RankRules) -> bool:
    """Take no rule for one that reads the fields of items, as it once was."""
    return False


FAULTS: Final[dict[str, tuple[Any, str, Any]]] = {
    "lost_promise": (wiring, "Batcher", _LostPromise),
    "crossed_answer": (wiring, "Batcher", _CrossedAnswer),
    "leaked_tokens": (batching, "PendingQueue", _LeakedTokens),
    "leaked_slot": (batching, "Passes", _LeakedSlot),
    "leaked_turn": (wiring, "LiveCatalogue", _LeakedTurn),
    "overlapping_calls": (batching, "ExclusiveCalls", _OverlappingCalls),
    "cached_error": (wiring, "SingleFlight", _CachedError),
    "cached_degraded": (wiring, "Recommender", _CachedDegraded),
    "forgotten_bundle": (planning, "fingerprint", _without_bundle),
    "forgotten_rules": (planning, "fingerprint", _without_rules),
    "forgotten_fields": (RankRules, "reads_fields", property(_no_fields)),
    "forgotten_changes": (wiring, "Caches", _ForgottenChanges),
    "forgotten_user_state": (wiring, "Caches", _ForgottenUserState),
    "forgotten_handover": (wiring, "LiveCatalogue", _ForgottenHandover),
    "dropped_event": (wiring, "Ingest", _DroppedEvent),
    "early_event": (wiring, "Ingest", _EarlyEvent),
    "early_change": (wiring, "LiveCatalogue", _EarlyChange),
    "change_in_a_pass": (wiring, "LiveCatalogue", _ChangeInAPass),
    "erased_user": (states, "_layered", _returning),
}
"""Each fault with the module and the name that it takes."""


@contextmanager
def fault(name: str | None) -> Iterator[None]:
    """Have a fault inside the block; None = none."""
    if name is None:
        yield
        return
    module, part, _ = FAULTS[name]
    whole = getattr(module, part)
    seed(name)
    try:
        yield
    finally:
        setattr(module, part, whole)


def seed(name: str) -> None:
    """Have a fault in this process from now on. Raises `AttributeError`: its part is gone."""
    module, part, broken = FAULTS[name]
    getattr(module, part)
    setattr(module, part, broken)
