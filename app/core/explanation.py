"""Why an item is in an answer: what each group of signals added to its score, and the facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

from app.core.types import JsonValue

Group: TypeAlias = Literal[
    "words",
    "intent",
    "taste",
    "behaviour",
    "context",
    "popularity",
    "freshness",
    "goals",
    "boosts",
    "filling",
]
GROUPS: Final[tuple[Group, ...]] = get_args(Group)
"""Groups of signals, in the order in which an answer shows them.

    words        how well the words and the meaning of the query fit the item
    intent       what the query asks for beside its words: preferences, tone, likeness to an item
    taste        how near the item lies to what the user took, likes and dislikes
    behaviour    what other people took who took the same
    context      who asks, and where
    popularity   how often it is taken
    freshness    how new it is
    goals        how likely it is taken by the kinds of events that the request wants
    boosts       what rules add
    filling      what another pass, which filled up the answer, gives all of its items
"""

MOST_EXPLAINED: Final = 20
"""So many items of an answer are explained, from the first."""

Fact: TypeAlias = JsonValue | Mapping[str, "Fact"] | tuple["Fact", ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one item is where it is.

    Attributes:
        contributions: group -> what it adds to the score. With the baseline of the answer they add
            up to the score. A group that the request does not have is not there.
        evidence: kind of fact -> facts; see docs/explanations.md.
        reason: one sentence that says the strongest of these facts; None = nothing was scored.
    """

    contributions: Mapping[Group, float]
    evidence: Mapping[str, Fact] = field(default_factory=dict)
    reason: str | None = None


class KeptOut(NamedTuple):
    """Why the service has put an item among those that must not come back.

    `stage`: as in `LostItem`. `by`: what keeps it out, which the sentence tells. `details`: what
    else is known.
    """

    stage: str
    by: str
    details: Mapping[str, Any] = {}


LostStage: TypeAlias = Literal[
    "answered",
    "unknown",
    "hidden",
    "excluded",
    "shown",
    "seen",
    "blocked",
    "filtered",
    "not_retrieved",
    "outranked",
    "below_min_score",
    "max_per",
    "diversity",
    "explore",
    "exposure",
    "promotion",
    "pins",
]
LOST_STAGES: Final[tuple[LostStage, ...]] = get_args(LostStage)
"""Where an item can be lost on its way into an answer, in the order of the stages."""


@dataclass(frozen=True, slots=True)
class LostItem:
    """Where an item was lost that is not in an answer; or that it is there.

    Attributes:
        stage: of `LOST_STAGES`.
        details: what is known of it, ready for JSON; docs/explanations.md lists it.
        sentence: the same in words.
    """

    stage: str
    details: Mapping[str, Any]
    sentence: str
