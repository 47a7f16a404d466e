"""What serves now: one reference to everything that comes from a bundle, replaced at once.

Does not know where bundles come from, nor when to replace one (`app.serving.reloader` does).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.core.ports import LiveEngine, UserStore
from app.core.types import BatchResult, EngineInfo, Facets, Item, RankRequest
from app.domain.event_rules import EventRule


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything that comes from one generation of a bundle.

    `users`: the histories it froze; `rules`: what each kind of event says of an item.
    """

    engine: LiveEngine
    users: UserStore
    rules: Mapping[str, EventRule]


class CurrentEngine:
    """The port `Engine` over the one that serves now.

    Both halves of a pass are done by the engine that was there when it began. `replace` belongs to
    the event loop, so what runs there between two awaits sees one generation.
    """

    def __init__(self, loaded: Loaded) -> None:
        """Serve this first."""
        self._loaded = loaded

    def __repr__(self) -> str:
        return f"<CurrentEngine {self._loaded.engine!r}>"

    @property
    def loaded(self) -> Loaded:
        """What serves now: do not keep it over an await."""
        return self._loaded

    def replace(self, loaded: Loaded) -> Loaded:
        """Serve this from now on; returns what served before, which a pass may still be using."""
        old, self._loaded = self._loaded, loaded
        return old

    @property
    def info(self) -> EngineInfo:
        """See `Engine`."""
        return self._loaded.engine.info

    def cost(self, request: RankRequest) -> int:
        """See `Engine`."""
        return self._loaded.engine.cost(request)

    def fast_encoding(self, request: RankRequest) -> RankRequest | None:
        """See `Engine`."""
        return self._loaded.engine.fast_encoding(request)

    def prepare(self, batch: Sequence[RankRequest]) -> Callable[[], BatchResult]:
        """See `Engine`; the engine that prepared a batch ranks it, whatever serves by then."""
        return self._loaded.engine.prepare(batch)

    def rank(self, batch: Sequence[RankRequest]) -> BatchResult:
        """See `Engine`."""
        return self._loaded.engine.rank(batch)

    def check_filter(self, filter_text: str) -> None:
        """See `Engine`."""
        self._loaded.engine.check_filter(filter_text)

    def facets(self, filter_text: str, fields: Sequence[str], limit: int) -> Facets:
        """See `Engine`."""
        return self._loaded.engine.facets(filter_text, fields, limit)

    def item(self, item_id: str) -> Item | None:
        """See `Engine`."""
        return self._loaded.engine.item(item_id)

    def contains(self, item_id: str) -> bool:
        """See `Engine`."""
        return self._loaded.engine.contains(item_id)

    def unchanged(self, item_id: str, since: int) -> bool:
        """See `Engine`."""
        return self._loaded.engine.unchanged(item_id, since)

    def visible(self, item_id: str) -> bool:
        """See `Engine`."""
        return self._loaded.engine.visible(item_id)

    def close(self) -> None:
        """Close the one that serves now."""
        self._loaded.engine.close()
