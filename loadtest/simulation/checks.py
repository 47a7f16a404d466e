"""What must hold: checked after every step, of every answer and error, and at rest.

An answer is right if it is what the engine would say in a state that was there between the question
and the answer: of the user, of the catalogue, of the bundle and of the rules. So a cached answer of
an older state is wrong, as is one that belongs to another request.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Final

from app.bootstrap import Service
from app.core.caller import Caller
from app.core.errors import (
    AppError,
    BundleError,
    DeadlineExceededError,
    EngineError,
    InvalidRequestError,
    NotFoundError,
    NotReadyError,
    OverloadedError,
    StoreError,
)
from app.core.lane import OPEN_LANE, Lane
from app.core.types import StoredUser
from app.domain.query_text import normalised_query
from app.serving.ingest import IngestResult
from app.serving.reloader import Reload
from app.serving.response import Answer
from loadtest.simulation.engine import NO_PLAN, Catalogue, Floor, SimulatedEngine
from loadtest.simulation.ledger import Ledger
from loadtest.simulation.ranking import right_answer
from loadtest.simulation.right import Bundle, rules_for, wanted_by
from loadtest.simulation.stores import SimulatedControl, SimulatedEvents, SimulatedJournal
from loadtest.simulation.troubles import Troubles

_LATE_S: Final = 0.035
"""How much later than its deadline a call may end: a read of the cache, and a change of the
catalogue that has begun, come to their ends."""
_PAUSE_S: Final = 2.5
"""How long reads of user state may be kept away from a store that has failed."""
_UNIX_S: Final = 1.7e9
_AMPLE_MS: Final = 1000
_REPORT_S: Final = 0.001
"""A question may join a computation whose failure is not reported yet."""
_NO_HURRY_MS: Final = 250
"""With less time, a read of user state may be given up though the store is well."""
_PASSES_S: Final = 1.0
"""Longer than the passes take that may be waiting, if there is no trouble."""
_EPS: Final = 1e-6
_IDLE: Final = ("0 waiting, 0 running", "0 flights, 0 callers", "fills=0")


@dataclass(slots=True)
class Served:
    """A generation that may serve: from when on it was loaded, until another one did for sure."""

    bundle: Bundle
    engine: SimulatedEngine
    since: float
    until: float = float("inf")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question.

    Attributes:
        fields: of the request, and `shown`: what earlier pages had.
        caller: who asks.
        user: key of the user whose state takes part, if it can be read.
        start: when it was asked, virtual seconds.
        rules: number of the rules in force then.
        together_s: longest budget of those with which it was asked, in seconds.
    """

    fields: Mapping[str, Any]
    caller: Caller
    user: str | None
    start: float
    rules: int
    together_s: float = 0.0

    @property
    def deadline(self) -> float:
        """When its time is up."""
        return self.start + float(self.fields["budget_ms"]) / 1e3


@dataclass(frozen=True, slots=True)
class _State:
    """What an answer may have been made from."""

    stored: StoredUser
    served: Served
    histories: Bundle
    catalogue: Catalogue
    rules: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Checks:
    """Compares what the service does with what is true.

    Attributes:
        closing: whether the service is being closed.
    """

    ledger: Ledger
    troubles: Troubles
    floor: Floor
    events: SimulatedEvents
    journal: SimulatedJournal
    control: SimulatedControl
    served: list[Served]
    service: Service
    closing: bool = False

    def answered(self, asked: Asked, answer: Answer, body: Mapping[str, Any]) -> None:
        """Check an answer."""
        end = self.floor.now()
        degraded, hit = list(answer.degraded), body["cache"] == "hit"
        if body["degraded"] != degraded:
            self._wrong("degraded", f"the body says {body['degraded']}, the header {degraded}")
        if hit and body["degraded"]:
            self._wrong("cache", f"a degraded answer came from a cache: {body['degraded']}")
        self._check_degraded(asked, degraded, end)
        self._check_in_time(asked, end)
        got = [(item["id"], item["title"]) for item in body["items"]]
        first_s = asked.start
        if answer.x_cache == "stale":
            first_s -= asked.fields["max_stale_ms"] / 1e3 + _EPS
            if not self._unchanged(got, asked.start, end):
                self._wrong("stale", f"{got} has changed")
        states = list(self._states(asked, degraded, first_s, end, hit=hit))
        right = [state for state in states if self._expected(asked, degraded, state) == got]
        if right:
            self._check_generation(asked, body, right)
        else:
            could = self._expected(asked, degraded, states[0])
            self._wrong("state", f"{dict(asked.fields)} of {asked.user} got {got}, right: {could}")

    def refused(self, asked: Asked, error: Exception) -> None:
        """Check the error that a question got."""
        end = self.floor.now()
        self._check_in_time(asked, end)
        match error:
            case DeadlineExceededError():
                if end < asked.deadline - _EPS:
                    self._wrong(
                        "deadline", f"{dict(asked.fields)} ends {asked.deadline - end:.6f} s early"
                    )
                self._check_had_reason(asked, end)
            case EngineError():
                if not self._failed_in_engine(asked, end):
                    self._wrong("error", f"{dict(asked.fields)}: {error!r}, but no pass failed")
            case NotReadyError():
                self._check_not_ready()
            case OverloadedError():
                pass
            case _:
                if not isinstance(error, InvalidRequestError) or "cursor" not in asked.fields:
                    self._wrong("error", f"{dict(asked.fields)} got {error!r}")

    def failed(self, kind: str, error: AppError) -> None:
        """Check the error that another call got."""
        if isinstance(error, NotReadyError):
            self._check_not_ready()
        elif not self._may_be(kind, error):
            self._wrong("error", f"{kind} got {error!r}")

    def _may_be(self, kind: str, error: AppError) -> bool:
        """Return whether there was a reason for an error."""
        had = partial(self.troubles.had, start=0.0, end=self.floor.now())
        match error:
            case StoreError():
                return any(map(had, ("events", "journal", "rules", "answers")))
            case BundleError():
                return kind == "reload" and had("loading")
            case EngineError():
                return kind == "put" and error.message == NO_PLAN
            case _:
                return isinstance(error, NotFoundError | OverloadedError)

    def stored(self, sent: Sequence[str], done: IngestResult) -> None:
        """Check events that were acknowledged."""
        if done.rejected or done.accepted + done.duplicates != len(sent):
            self._wrong("events", f"{done} for {sent}")
        if lost := set(sent) - self.events.stored:
            self._wrong("acknowledged", f"events {sorted(lost)} are not stored")

    def changed(self, number: int, item: str) -> None:
        """Check a change of an item that was acknowledged."""
        at = self.service.engine.info.catalogue
        if at < number:
            self._wrong("acknowledged", f"change {number} is acknowledged, the catalogue at {at}")
        if self.journal.log[number - 1].item != item:
            self._wrong("acknowledged", f"change {number} is not of {item}")

    def reloaded(self, done: Reload) -> None:
        """Check a reload that was acknowledged: nothing older serves any more."""
        if done.generation.bundle != self.service.engine.info.bundle:
            self._wrong("reload", f"{done.generation} is said, {self.service.engine.info}")
        for served in self.served:
            if served.bundle.id != done.generation.bundle:
                served.until = min(served.until, self.floor.now())

    def ruled(self, start: float, number: int) -> None:
        """Check a change of rules that was acknowledged: it is in force.

        `number`: what it has at least.
        """
        at = self.service.control.number
        if at < number and not self.troubles.had("rules", start, self.floor.now()):
            self._wrong("rules", f"a change from {number} on is acknowledged, {at} is in force")

    def after_a_step(self) -> None:
        """Check what must hold at every moment."""
        if not self.floor.dead and not self.closing and not self.service.ready:
            self._wrong("ready", "the service is not ready, and nothing is lost")

    def at_rest(self) -> None:
        """Check that nothing is held, nothing is missing, and all have come to one state."""
        service = self.service
        shown = f"{service.recommender!r} {service.catalogue!r}"
        for idle in (*_IDLE, ", 0 waiting>"):
            if idle not in shown:
                self._wrong("permits", f"not {idle!r} at rest: {shown}")
        for lane in (OPEN_LANE, Lane("bulk", interactive=False)):
            if wait_s := service.batcher.predicted_wait(lane):
                self._wrong("permits", f"{wait_s} s of work, at rest")
        if service.control.number != max(self.control.states):
            self._wrong("rules", f"at {service.control.number}, stored {max(self.control.states)}")
        self._check_catalogue()

    def _check_catalogue(self) -> None:
        """Check that the items are those of the bundle with all changes of the journal."""
        served = self._serving()
        at, newest = served.engine.states.newest, len(self.journal.log)
        if at.generation.catalogue != newest:
            self._wrong("catalogue", f"at {at.generation}, the journal at {newest}")
        items = {name: (record.title, record.n) for name, record in served.bundle.items.items()}
        for change in self.journal.log:
            items.pop(change.item, None)
            if change.record is not None:
                items[change.item] = str(change.record["title"]), int(str(change.record["n"]))
        there = {name: (record.title, record.n) for name, record in at.items.items()}
        if items != there:
            self._wrong("catalogue", f"{there} and not {items}")

    def _check_generation(
        self, asked: Asked, body: Mapping[str, Any], right: Sequence[_State]
    ) -> None:
        """Check that an answer says from which state it was made."""
        said = body["generation"]
        if all(state.served.bundle.id != said["bundle"] for state in right):
            self._wrong("one generation", f"items of another bundle than {said}: {body['items']}")
        if body["cache"] == "hit":
            return
        numbers = {state.catalogue.generation.catalogue for state in right}
        if said["catalogue"] not in numbers:
            self._wrong("one generation", f"{said} is said, right: {numbers}")
        if said["catalogue"] < asked.fields.get("min_catalogue", 0):
            self._wrong("min_catalogue", f"{said} for {dict(asked.fields)}")

    def _wrong(self, rule: str, detail: str) -> None:
        self.ledger.complain(rule, detail)

    def _serving(self) -> Served:
        bundle = self.service.engine.info.bundle
        return next(served for served in self.served if served.bundle.id == bundle)

    def _states(
        self, asked: Asked, degraded: Sequence[str], first_s: float, end: float, *, hit: bool
    ) -> Iterator[_State]:
        """Yield all states that were there from `asked.start` to `end`, the newest first.

        `first_s`: from when on the catalogue counts. `hit`: the answer came from a cache.
        """
        people = [StoredUser()]
        if asked.user is not None and "user_state" not in degraded:
            people = self.events.users[asked.user].between(asked.start, end)
        catalogues = [
            (served, catalogue)
            for served in self.served[::-1]
            if served.since <= end and served.until >= first_s
            for catalogue in served.engine.states.between(first_s, end)
        ]
        query = asked.fields["query"]
        rules = {
            rules_for(query, state, _UNIX_S + moment): None
            for number, state in self.control.states.items()
            if number >= asked.rules
            for moment in (asked.start, end)
        }
        for stored, (served, catalogue), applying in product(people, catalogues, rules):
            # The state of a user is read before the pass. If another bundle takes over between the
            # two, the history is that of the bundle before; such an answer is never cached.
            bundles = [served.bundle]
            if asked.user is not None and not hit:
                bundles += [each.bundle for each, _ in catalogues if each is not served]
            for histories in bundles:
                yield _State(stored, served, histories, catalogue, applying)

    @staticmethod
    def _expected(asked: Asked, degraded: Sequence[str], state: _State) -> list[tuple[str, str]]:
        user = None if "user_state" in degraded else asked.user
        wanted = wanted_by(asked.fields, user, state.stored, state.histories, state.rules)
        return right_answer(wanted, state.catalogue.items)

    def _check_degraded(self, asked: Asked, degraded: Sequence[str], end: float) -> None:
        had = self.troubles.had
        in_a_hurry = asked.fields["budget_ms"] < _NO_HURRY_MS
        troubled = in_a_hurry or had("events", asked.start - _PAUSE_S, end)
        if "user_state" in degraded and not (asked.user and troubled):
            self._wrong("degraded", f"no user state for {asked.user}, and the store was well")
        if "rerank" in degraded and not had("engine", asked.start - 1, end):
            self._wrong("degraded", "no rerank, and the engine was well")

    def _check_in_time(self, asked: Asked, end: float) -> None:
        late_s = end - max(asked.deadline, asked.start + asked.together_s)
        if late_s > _LATE_S:
            self._wrong("deadline", f"{dict(asked.fields)} ends {late_s:.3f} s late")

    def _check_had_reason(self, asked: Asked, end: float) -> None:
        """Complain of a question that ran out of time, though nothing took so long."""
        ample = asked.fields["budget_ms"] >= _AMPLE_MS and not asked.fields.get("min_catalogue")
        ample = ample and asked.caller.lane.interactive  # others have their turn when nobody waits
        if (
            ample
            and asked.caller.lane.interactive
            and not self.troubles.had_any(asked.start - _PASSES_S, end)
        ):
            self._wrong("promise", f"{dict(asked.fields)} had no answer, and all was well")

    def _failed_in_engine(self, asked: Asked, end: float) -> bool:
        query = normalised_query(asked.fields["query"])
        return any(
            not went_well and query in queries and asked.start - _REPORT_S <= time <= end
            for time, queries, went_well in self.floor.ranked
        )

    def _check_not_ready(self) -> None:
        if not (self.floor.dead or self.closing):
            self._wrong("ready", "not ready, though nothing is lost")

    def _unchanged(self, got: Sequence[tuple[str, str]], start: float, end: float) -> bool:
        """Return whether all items are shown as they were at some moment from `start` to `end`."""
        states = [
            catalogue
            for served in self.served
            if served.since <= end and served.until >= start
            for catalogue in served.engine.states.between(start, end)
        ]
        return any(
            all(
                name in state.items and title.endswith(f" {state.items[name].stamp}")
                for name, title in got
            )
            for state in states
        )
