"""The engine cannot plan a change of an item whose title has the word `poison`."""

from collections.abc import Callable, Sequence

from app.core.types import Change
from app.engine.engine import RankEngine


def seed() -> None:
    """Fail in the plan."""
    plan = RankEngine.plan

    def fussy(self: RankEngine, changes: Sequence[Change], now: float) -> Callable[[], None]:
        if any("poison" in str((change.record or {}).get("title")) for change in changes):
            raise ValueError("poison")
        return plan(self, changes, now)

    RankEngine.plan = fussy
