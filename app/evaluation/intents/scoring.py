"""Precision and recall of intents against labels: by field, by language, and over all fields.

A demand of an intent is right if the label has it; of several labels the one that fits best counts.
Precision is the share of the demands found that are right, recall the share of those wanted that
were found. The residual text counts as one demand of a query: its precision is the share of its
words that should be left, its recall the share of the words to be left that are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.evaluation.intents.demands import FIELDS, Demands
from app.evaluation.intents.labels import LabelledQuery

ALL: Final = "all"
"""In place of a field or of a language: all of them together."""


@dataclass(slots=True)
class FieldTally:
    """Counts of one field.

    `right_found` and `right_wanted` differ only for the residual text, which may be right in part.
    """

    right_found: float = 0.0
    found: int = 0
    right_wanted: float = 0.0
    wanted: int = 0

    @property
    def precision(self) -> float:
        """The share of what was found that is right; 1 if nothing was found."""
        return self.right_found / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """The share of what was wanted that was found; 1 if nothing was wanted."""
        return self.right_wanted / self.wanted if self.wanted else 1.0

    @property
    def errors(self) -> float:
        """How much was found wrongly or missed."""
        return self.found - self.right_found + self.wanted - self.right_wanted

    def add(self, other: "FieldTally") -> None:
        """Add the counts of another tally."""
        self.right_found += other.right_found
        self.found += other.found
        self.right_wanted += other.right_wanted
        self.wanted += other.wanted

    def shown(self) -> dict[str, Any]:
        """Return precision, recall and the counts as JSON."""
        return {
            "precision": round(self.precision, 4),
            "recall": round(self.recall, 4),
            "found": self.found,
            "wanted": self.wanted,
        }


@dataclass(frozen=True, slots=True)
class QueryScore:
    """One query: how its intent compares with the label that fits best, field by field."""

    label: LabelledQuery
    wanted: Demands
    found: Demands
    tallies: Mapping[str, FieldTally]

    @property
    def errors(self) -> float:
        """The errors in all fields; 0 = understood."""
        return sum(tally.errors for tally in self.tallies.values())


@dataclass(slots=True)
class ScoreTable:
    """Tallies by (group, field); a group is a language, "adversarial", or all queries."""

    tallies: dict[tuple[str, str], FieldTally] = field(default_factory=dict)
    queries: dict[str, int] = field(default_factory=dict)
    understood: dict[str, int] = field(default_factory=dict)

    def tally(self, group: str, name: str) -> FieldTally:
        """Return the counts of a group and a field; zeros if there are none."""
        return self.tallies.get((group, name), FieldTally())

    def groups(self) -> list[str]:
        """Return the groups there are, all queries first."""
        return sorted(self.queries, key=lambda group: (group != ALL, group))

    def shown(self) -> dict[str, Any]:
        """Return the table as JSON: group -> field -> figures."""
        return {
            group: {
                "queries": self.queries[group],
                "understood": self.understood[group],
                "fields": {
                    name: self.tally(group, name).shown()
                    for name in (ALL, *FIELDS)
                    if (group, name) in self.tallies
                },
            }
            for group in self.groups()
        }


def score(label: LabelledQuery, wanted: Sequence[Demands], found: Demands) -> QueryScore:
    """Compare what was found with each of the demands that are right, and keep the best."""
    compared = [
        QueryScore(label, each, found, {name: _tally(name, each, found) for name in FIELDS})
        for each in wanted
    ]
    return min(compared, key=lambda each: each.errors)


def table_of(scores: Iterable[QueryScore]) -> ScoreTable:
    """Sum the scores by group and field."""
    table = ScoreTable()
    for each in scores:
        groups = [ALL, each.label.language, *(["adversarial"] if each.label.adversarial else [])]
        for group in groups:
            table.queries[group] = table.queries.get(group, 0) + 1
            table.understood[group] = table.understood.get(group, 0) + (each.errors == 0)
            for name, tally in each.tallies.items():
                for row in (name, ALL):
                    table.tallies.setdefault((group, row), FieldTally()).add(tally)
    return table


def _tally(name: str, wanted: Demands, found: Demands) -> FieldTally:
    if name == "residual":
        return _residual_tally(wanted, found)
    right = len(wanted.of(name) & found.of(name))
    ours = found.of(name)
    if name == "values" and found.of("tone") & wanted.of("tone"):
        # A tone may also prefer the values that it stands for. This is no error.
        ours -= found.preferred - wanted.of(name)
    return FieldTally(right, len(ours), right, len(wanted.of(name)))


def _residual_tally(wanted: Demands, found: Demands) -> FieldTally:
    core = (wanted.residual & found.residual) - wanted.neutral
    extra = found.residual - wanted.residual - found.neutral
    missed = wanted.residual - found.residual - wanted.neutral
    tally = FieldTally()
    if core or extra:
        tally.found, tally.right_found = 1, len(core) / (len(core) + len(extra))
    if core or missed:
        tally.wanted, tally.right_wanted = 1, len(core) / (len(core) + len(missed))
    return tally
