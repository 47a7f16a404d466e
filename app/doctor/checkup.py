"""All findings on the facts, the worst first, and how they are shown."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from app.doctor.event_findings import EVENT_CHECKS
from app.doctor.facts import Examined
from app.doctor.finding import Finding, Severity
from app.doctor.item_findings import ITEM_CHECKS
from app.doctor.service_findings import SERVICE_CHECKS

CHECKS: Final = (*ITEM_CHECKS, *EVENT_CHECKS, *SERVICE_CHECKS)
_ORDER: Final[tuple[Severity, ...]] = ("error", "warning", "notice")


@dataclass(frozen=True, slots=True)
class Checkup:
    """What the doctor found.

    Attributes:
        bundle, generation: of which bundle.
        items, events, queries: how many were looked at.
        findings: the worst first.
    """

    bundle: str
    generation: str
    items: int
    events: int
    queries: int
    findings: tuple[Finding, ...]

    def shown(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "bundle": {"name": self.bundle, "generation": self.generation},
            "looked_at": {"items": self.items, "events": self.events, "queries": self.queries},
            "findings": [asdict(finding) for finding in self.findings],
        }

    def __str__(self) -> str:
        looked = f"{self.items:,} items and {self.events:,} events"
        if self.queries:
            looked += f" and {self.queries:,} queries"
        lines = [f"{self.bundle}/{self.generation}: looked at {looked}"]
        for each in self.findings:
            lines += [f"{each.severity:8} {each.sentence}", f"{'':8} {each.remedy}"]
        return "\n".join(lines if self.findings else [*lines, "nothing is wrong"])


def examined(bundle: str, generation: str, facts: Examined) -> Checkup:
    """Return all findings on some facts."""
    found = [finding for check in CHECKS for finding in check(facts)]
    return Checkup(
        bundle=bundle,
        generation=generation,
        items=facts.items.looked_at,
        events=facts.events.total,
        queries=facts.service.queries,
        findings=tuple(sorted(found, key=lambda finding: _ORDER.index(finding.severity))),
    )
