"""The engine that serves now: one reference to everything that comes from a bundle.

A reload replaces the reference in one step. This module does not know where bundles come from, nor
when to replace one: see `app.serving.reloader`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.core.explanation import KeptOut, LostItem
from app.core.ports import LiveEngine
from app.core.ranking import BatchResult, RankRequest
from app.core.store_ports import UserStore
from app.core.survey import CatalogueSurvey
from app.core.types import Context, EngineInfo, Facets, Item
from app.domain.event_rules import EventRule


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """Everything that comes from one generation of a bundle.

    Attributes:
        engine: ranks its items.
        users: the user histories that it contains.
        rules: what each kind of event means.
        facets: of all items, counted before it served; None = nobody needs them.
    """

    engine: LiveEngine
    users: UserStore
    rules: Mapping[str, EventRule]
    facets: Facets | None = None


class CurrentEngine:
    """The port `Engine`, which passes every call on to the engine that serves now.

    The engine that began a pass also does its second half. `replace` is called on the event loop
    only, so code between two awaits sees one generation.
    """

    def __init__(self, loaded: LoadedBundle) -> None:
        """Serve `loaded` first."""
        self._loaded = loaded

    def __repr__(self) -> str:
        return f"<CurrentEngine {self._loaded.engine!r}>"

    @property
    def loaded(self) -> LoadedBundle:
        """What serves now. Do not use it after an await: it may have been replaced."""
        return self._loaded

    def replace(self, loaded: LoadedBundle) -> LoadedBundle:
        """Serve `loaded` from now on. Return what served before; a pass may still use it."""
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
        """See `Engine`. The engine that prepared a batch also ranks it, even after a reload."""
        return self._loaded.engine.prepare(batch)

    def rank(self, batch: Sequence[RankRequest]) -> BatchResult:
        """See `Engine`."""
        return self._loaded.engine.rank(batch)

    def check_filter(self, filter_text: str, where: str = "filter") -> None:
        """See `Engine`."""
        self._loaded.engine.check_filter(filter_text, where)

    def known_context(self, context: Context) -> Context:
        """See `Engine`."""
        return self._loaded.engine.known_context(context)

    def facets(self, filter_text: str, fields: Sequence[str], limit: int) -> Facets:
        """See `Engine`."""
        return self._loaded.engine.facets(filter_text, fields, limit)

    def survey(self, most: int) -> CatalogueSurvey:
        """See `Engine`."""
        return self._loaded.engine.survey(most)

    def interpret(self, query: str, now: float, *, look_up: bool) -> str | None:
        """See `Engine`."""
        return self._loaded.engine.interpret(query, now, look_up=look_up)

    def item_of_title(self, title: str) -> str | None:
        """See `Engine`."""
        return self._loaded.engine.item_of_title(title)

    def why_not(self, request: RankRequest, item_id: str, kept_out: KeptOut | None) -> LostItem:
        """See `Engine`."""
        return self._loaded.engine.why_not(request, item_id, kept_out)

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
        """Close the engine that serves now."""
        self._loaded.engine.close()
