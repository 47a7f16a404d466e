"""What the engine is asked, and what it answers; all are immutable.

The other data types that the parts of the service hand to each other are in `app.core.types`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from app.core.explanation import Explanation
from app.core.rank_rules import NO_RULES, RankRules
from app.core.types import Attributes, Context, Generation, Goals, JsonValue

By: TypeAlias = Literal["content", "behaviour", "both"]
"""What makes items similar: their texts, what users took together, or both."""

_NO_FIELDS: Final[Mapping[str, JsonValue]] = {}


class RankRequest(NamedTuple):
    """What one request asks of the engine, after the user's state has been read.

    It is a tuple because one is made for every request, also for those that a cache answers: a
    frozen dataclass sets its fields one by one.

    Attributes:
        query: the words; "" = none.
        history: ids of items that the user took, oldest first; they shape the taste.
        like, dislike: ids of items that shape the taste as well, for and against.
        exclude: ids of items that must not come back.
        seen: ids of items that come back only if the query is their title.
        candidates: if given, exactly those of them that are known and not excluded are ranked.
        k: how many items to return.
        fields: names of the fields to return with each item.
        filter: a condition on the items' fields, as `app.domain.filters.filter_text` writes it;
            "" = none.
        on_empty: what follows when fewer than `k` items pass the filter: "popular" (popular
            items), "relax" (items that fit the request but fail the filter) or "none".
        intent: what the query asks for: JSON text as `app.domain.intent` writes it, "off" (its own
            words and nothing else), or "" (the engine parses the query).
        k_is_default: the caller has not said how many items, so the query may.
        now: unix seconds, for words such as "last year". The same request at another moment is
            still the same request.
        max_per: field -> how many items with the same value of that field may come back.
        shown: ids of the items that earlier pages have shown, which `max_per` counts too.
        repeat: items that the intent names may come back.
        context: where, when and on what it is asked, in buckets
            (`app.domain.named_values.bucketed`).
        attributes: who the user is; () where nobody is named, or nothing is known.
        fast_encoding: the query may be encoded by fast encoding; `degraded` then says so.
        min_score: items with a lower score stay out; None = all are good enough.
        rules: what operators have set that may apply.
        by: what makes items similar to those in `like`; where nothing was learned, their texts do.
        explain: the first items come with an explanation.
        language: code of the language of explanations, where the query does not tell it.
        diversity: how much unlike each other the items shall be, in [0, 1]; 0 = by score.
        popularity_bias: in [-1, 1], below 0 for items that few took; a part of the score.
        explore: probability with which a place is filled by a draw, in [0, 1].
        seed: of those draws.
        exposure: which shares of the places groups must and may have, as
            `app.domain.exposure.checked_exposure` writes it; "" = any.
        placed: ids of the items that further items are to follow in the same answer, which
            `exposure` counts too.
        goals: name -> weight from 0 to 1, of the kinds of events that are wanted; () = the order of
            the networks as they are.
    """

    query: str = ""
    history: tuple[str, ...] = ()
    like: tuple[str, ...] = ()
    dislike: tuple[str, ...] = ()
    exclude: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()
    candidates: tuple[str, ...] | None = None
    k: int = 10
    fields: tuple[str, ...] = ()
    filter: str = ""
    on_empty: str = "none"
    intent: str = ""
    k_is_default: bool = False
    now: float = 0.0
    max_per: tuple[tuple[str, int], ...] = ()
    shown: tuple[str, ...] = ()
    repeat: bool = False
    context: Context = ()
    attributes: Attributes = ()
    fast_encoding: bool = False
    min_score: float | None = None
    rules: RankRules = NO_RULES
    by: By = "both"
    explain: bool = False
    language: str = ""
    diversity: float = 0.0
    popularity_bias: float = 0.0
    explore: float = 0.0
    seed: int = 0
    exposure: str = ""
    placed: tuple[str, ...] = ()
    goals: Goals = ()

    @property
    def named(self) -> tuple[str, ...]:
        """The items that the request names, but for those that must not come back."""
        return (*self.history, *self.like, *self.dislike, *(self.candidates or ()))


class SourceHit(NamedTuple):
    """A source that found the candidate: its name, the rank in it (from 1), the score in it."""

    name: str
    rank: int
    score: float


class RankedItem(NamedTuple):
    """One item of an answer.

    `score` has no bounds. Where the scorer was learned, sigmoid(score) is the share of such items
    that is taken. `seen`: the user has taken the item; it is here because the query is its title.
    `propensity`: the probability with which the item came to its place, given the places before;
    None = nothing was drawn. `placed_by`: what put it there, "" = its score.
    `explanation`: None = it is not explained.
    """

    id: str
    score: float
    title: str | None
    fields: Mapping[str, JsonValue] = _NO_FIELDS
    sources: tuple[SourceHit, ...] = ()
    seen: bool = False
    propensity: float | None = None
    placed_by: str = ""
    explanation: Explanation | None = None


class GroupShare(NamedTuple):
    """A group of an `exposure` in an answer.

    `share`: of the items; `least`, `most`: the shares that were asked for, None = any; `met`:
    whether the number of items is within them, as whole items.
    """

    name: str
    share: float
    least: float | None
    most: float | None
    met: bool


@dataclass(frozen=True, slots=True)
class ExposureReport:
    """What an `exposure` came to: the field, and each group that was asked for."""

    field: str
    groups: tuple[GroupShare, ...]


@dataclass(frozen=True, slots=True)
class RankResult:
    """The engine's answer to one `RankRequest`.

    Attributes:
        items: best first.
        missing_ids: ids in history, like, dislike or candidates that are not in the catalogue.
        degraded: names of the parts that were left out, so that the list may be worse.
        passing: how many items, from the first, meet the filter and the demands of the intent, if
            others follow them; None if all do.
        intent: JSON text of what the query was taken to ask for; "" = there was no query.
        count: how many items the query asks for ("five comedies"); None = it does not say.
        weak: whether little of the query was understood.
        wordless: whether no item has a word of the query, or one like it.
        valid_until: unix seconds until which the same words mean the same.
        depends_on_catalogue: any change of the catalogue may change the answer, not only one of its
            items: the query named filters or titles.
        rules: ids of the rules that applied.
        baseline: what the contributions of an explained item are counted from; None = nothing is
            explained.
        exposure: what the request's `exposure` came to; None = it had none.
    """

    items: tuple[RankedItem, ...]
    missing_ids: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    passing: int | None = None
    intent: str = ""
    count: int | None = None
    weak: bool = False
    wordless: bool = False
    valid_until: float = float("inf")
    depends_on_catalogue: bool = False
    rules: tuple[str, ...] = ()
    baseline: float | None = None
    exposure: ExposureReport | None = None


@dataclass(frozen=True, slots=True)
class StageTimings:
    """Milliseconds spent in each stage of one engine pass over a whole batch."""

    encode_ms: float = 0.0
    retrieve_ms: float = 0.0
    rerank_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The results of a pass in the order of its batch, its timings, and the data it used."""

    results: tuple[RankResult, ...]
    timings: StageTimings
    generation: Generation
