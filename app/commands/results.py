"""What commands came to, as text to read and as facts to print with `--json`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # exporting takes no package that building takes
    from app.offline.build import BuildReport
    from app.offline.input.read_report import ReadReport


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. `what`: "events" or "users". `file`: its name, "-" for standard output."""

    what: str
    n: int
    file: str

    def __str__(self) -> str:
        return f"{self.n:,} {self.what} exported"

    def facts(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {"exported": self.n, "what": self.what, "file": self.file}


@dataclass(frozen=True, slots=True)
class Imported:
    """What was added. `what`: "events" or "users". `n`: how many, those already there left out."""

    what: str
    n: int
    report: "ReadReport"

    def __str__(self) -> str:
        return "\n".join([f"{self.n:,} {self.what} imported", *self.report.lines()])

    def facts(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {"imported": self.n, "what": self.what, "read": [facts_of_reading(self.report)]}


def facts_of_reading(report: "ReadReport") -> dict[str, Any]:
    """Return the counters of reading one file, as `--json` prints them."""
    return {
        "file": report.file,
        "rows": report.rows,
        "rejected": report.rejected,
        "duplicates": report.duplicates,
        "reasons": dict(report.reasons),
        "examples": report.examples,
        "noted": dict(report.noted),
        "notes": report.notes,
    }


def facts_of_build(report: "BuildReport") -> dict[str, Any]:
    """Return what a build or a training came to, as `--json` prints it."""
    manifest = report.bundle.manifest
    learned = manifest.learned
    return {
        "bundle": manifest.name,
        "generation": manifest.generation,
        "path": str(report.bundle.path),
        "items": manifest.n_items,
        "users": manifest.n_users,
        "events": manifest.n_events,
        "encoder": {"id": manifest.encoder.id, "dim": manifest.encoder.dim},
        "roles": manifest.model_dump(mode="json")["roles"],
        "units": manifest.model_dump(mode="json")["units"],
        "learned": None
        if learned is None
        else {"notes": list(learned.notes), "metrics": dict(learned.metrics)},
        "read": [facts_of_reading(each) for each in report.reports],
        "verdict": report.verdict,
        "seconds": {stage: round(seconds, 3) for stage, seconds in report.seconds.items()},
    }
