"""The report of reading one file: how many rows were unusable, and why.

Every row that is left out is counted, so that nothing is lost in silence. This module knows rows,
line numbers and reasons, but not what a row means.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from app.core.errors import BadDataError
from app.domain.event_rules import without_rule
from app.domain.values import Unusable
from app.offline.input.files.readers import Cells, Format, read_rows
from app.offline.input.values.column_remarks import ColumnRemarks

MAX_EXAMPLES = 20
_MOST_UNUSABLE = 0.5


@dataclass(slots=True)
class ReadReport:
    """The counters of reading one file.

    Attributes:
        file: its name.
        rows: all rows, unusable ones included.
        duplicates: rows that repeat an id; what that means depends on the file.
        reasons: how many rows were unusable, by reason.
        examples: the first 20 unusable rows, as "line 7: id is missing".
        noted: counters of rows that were used but lack something.
        notes: sentences about the file as a whole, such as warnings.
        read_as: what the file was recognised as; "" = not known.
        guessed: which columns were guessed, as lines of a recipe.
    """

    file: str
    rows: int = 0
    duplicates: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    noted: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    read_as: str = ""
    guessed: tuple[str, ...] = ()

    @property
    def rejected(self) -> int:
        """Number of rows that could not be used."""
        return self.reasons.total()

    def reject(self, line: int, reason: Unusable) -> None:
        """Count an unusable row."""
        self.reasons[str(reason)] += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"line {line}: {reason}")

    def note_column(self, name: str, remarks: ColumnRemarks) -> None:
        """Note in one line what was done to a column, if anything was."""
        if line := remarks.line(name):
            self.notes.append(line)

    def note_kinds(self, kinds: Mapping[str, int], rules: Collection[str]) -> None:
        """Note the kinds of events that have no rule.

        `kinds`: how many events there are of each kind. `rules`: the kinds that have a rule.
        """
        for kind, n in kinds.items():
            if n and kind not in rules:
                self.notes.append(f"warning: {n} × {without_rule(kind, rules)}")

    def check(self) -> None:
        """Refuse a file most of whose rows are unusable.

        Raises:
            BadDataError: more than half of the rows were rejected.
        """
        if self.rejected > self.rows * _MOST_UNUSABLE:
            reasons = "; ".join(f"{n} × {reason}" for reason, n in self.reasons.most_common(5))
            raise BadDataError(
                f"{self.file}: {self.rejected} of {self.rows} rows cannot be used: {reasons} "
                f"(first: {self.examples[0]}; read as: {self.read_as})"
            )

    def counts(self, kind: str) -> dict[str, int]:
        """Return the counters by name; general ones start with `kind` ("item" or "event")."""
        general = {"rows": self.rows, "rejected": self.rejected, "duplicates": self.duplicates}
        return {**{f"{kind}_{name}": n for name, n in general.items()}, **self.noted}

    def lines(self) -> list[str]:
        """Return a few readable lines: totals, how it was read, reasons, notes."""
        if not self.rows and not self.read_as:
            return [self.file]  # no file was given
        total = (
            f"{self.file}: {self.rows} rows, {self.rejected} unusable, {self.duplicates} duplicates"
        )
        noted = "".join(
            f", {n} {name.replace('_', ' ')}" for name, n in sorted(self.noted.items()) if n
        )
        reasons = [f"  {n} × {reason}" for reason, n in self.reasons.most_common()]
        examples = [f"    {example}" for example in self.examples]
        read_as = [f"  read as: {self.read_as}"] if self.read_as else []
        guessed = [f"  {line}" for line in self.guessed]
        notes = [f"  {note}" for note in self.notes]
        return [total + noted, *read_as, *guessed, *reasons, *examples, *notes]


def counted_rows(
    path: Path, file_format: Format, report: ReadReport
) -> Iterator[tuple[int, Cells]]:
    """Yield (line number, cells) of the rows that can be read, and count all rows in `report`.

    A terminal shows a progress bar.
    """
    report.read_as = file_format.shown
    rows = read_rows(path, file_format)
    for line, cells in tqdm(rows, desc=f"read {path.name}", unit=" rows", disable=None):
        report.rows += 1
        if isinstance(cells, Unusable):
            report.reject(line, cells)
        else:
            yield line, cells
