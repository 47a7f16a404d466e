"""The ports of model work and caches: one Protocol for each part that can be replaced.

Real parts and the fakes of `app.testing` pass the same suites in `tests/contract/`. The ports of
what is kept are in `app.core.store_ports`.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from app.core.explanation import KeptOut, LostItem
from app.core.ranking import BatchResult, RankRequest
from app.core.survey import CatalogueSurvey
from app.core.types import (
    CacheRead,
    Change,
    Context,
    EngineInfo,
    Facets,
    Item,
    Mask,
    Matrix,
    ModelAnswer,
    ModelQuestion,
    TextQuestion,
    TextRole,
    Vector,
)


class Encoder(Protocol):
    """Turns texts into vectors.

    `encode` blocks, is deterministic, and may be called by several threads at once. A text's vector
    does not depend on the other texts of the call (maximum difference 1e-3). Raises `EngineError`.

    Some models read a query in another way than the text of an item, so `encode` is told which it
    gets. All these vectors are in one space.
    """

    @property
    def id(self) -> str:
        """Name and revision of the model; a bundle is checked against it."""
        ...

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    @property
    def centre(self) -> Vector | None:
        """What the vectors of all texts have in common, float32[dim]; None = nearly nothing.

        `encode` leaves it in. It is taken away before vectors are stored or searched, see
        `app.engine.encoding.text_vectors`.
        """
        ...

    def encode(self, texts: Sequence[str], role: TextRole = "item") -> Matrix:
        """Return float32[len(texts), dim], rows of unit norm, in the order of `texts`."""
        ...

    def knows(self, texts: Sequence[str]) -> Mask:
        """Return bool[len(texts)]: whether the encoder knows enough of a text.

        A token that it knows has a letter or a digit and is in the vocabulary. All texts without
        one, or with few of them among many unknown ones, get nearly the same vector, which says
        nothing about them.
        """
        ...


class Engine(Protocol):
    """All model work: it answers a batch of requests in one blocking pass.

    One thread at a time ranks; the other methods may be called from any thread. The same batch gets
    the same answers: an engine reads no clock and keeps no state from one pass to the next.
    """

    @property
    def info(self) -> EngineInfo:
        """What this engine was opened from, and how far its catalogue is."""
        ...

    def cost(self, request: RankRequest) -> int:
        """Estimated encoder tokens of a request, ≥ 1. Cheap: it runs on the event loop."""
        ...

    def fast_encoding(self, request: RankRequest) -> RankRequest | None:
        """Return the same request with fast encoding; None if that would cost no less. Cheap."""
        ...

    def prepare(self, batch: Sequence[RankRequest]) -> Callable[[], BatchResult]:
        """Do the first half of a pass, encode the queries, and return a call for the second half.

        That call ranks every request, and is made once, in the thread that ranks. Meanwhile
        another thread may prepare the next batch. Both halves raise `EngineError`.
        """
        ...

    def rank(self, batch: Sequence[RankRequest]) -> BatchResult:
        """Do both halves of a pass: rank every request of a batch. Raises `EngineError`.

        The results keep the order of `batch`. A field that the catalogue does not have is null:
        requests are checked before they wait, and another bundle may have taken over since.
        """
        ...

    def check_filter(self, filter_text: str, where: str = "filter") -> None:
        """Raise `InvalidRequestError` for a filter that does not fit the catalogue. Cheap.

        `where`: the field of the request, which the error names.
        """
        ...

    def known_context(self, context: Context) -> Context:
        """Return the part of a context that may change answers, a value in one form. Cheap.

        What it leaves out would only make different requests of those that get the same answer.
        """
        ...

    def item(self, item_id: str) -> Item | None:
        """Return one item; None if it is not in the catalogue."""
        ...

    def facets(self, filter_text: str, fields: Sequence[str], limit: int) -> Facets:
        """Count the values in some fields, of the items that pass a filter ("" = all items).

        `limit`: how many frequent values to return of each field. Called in the thread that
        ranks. Raises `InvalidRequestError`.
        """
        ...

    def survey(self, most: int) -> CatalogueSurvey:
        """Look at most at so many items, evenly spread. It may take a second; from any thread."""
        ...

    def interpret(self, query: str, now: float, *, look_up: bool) -> str | None:
        """Return what a query asks for, as `RankResult.intent` says it.

        Args:
            query: the words.
            now: unix seconds.
            look_up: whether the titles that a query names are looked up, which only the thread
                that ranks may do. False = no, and it is cheap enough for the event loop: None
                where the query names titles.
        """
        ...

    def item_of_title(self, title: str) -> str | None:
        """Return the id of the item that a typed title means; None if it means none.

        Called in the thread that ranks.
        """
        ...

    def why_not(self, request: RankRequest, item_id: str, kept_out: KeptOut | None) -> LostItem:
        """Return the stage at which a request loses an item, or that it is in the answer.

        Args:
            request: what is asked.
            item_id: of the item.
            kept_out: why the item is among those that the request excludes; None = it is not, or
                the query does it.

        Called in the thread that ranks. It takes as long as some passes. Raises `EngineError`.
        """
        ...

    def contains(self, item_id: str) -> bool:
        """Tell whether an item is in the catalogue. Cheap: it runs on the event loop."""
        ...

    def visible(self, item_id: str) -> bool:
        """Tell whether an item is in the catalogue and may come back. Cheap, as `contains`."""
        ...

    def unchanged(self, item_id: str, since: int) -> bool:
        """Tell whether no change numbered above `since` was applied to an item. Cheap."""
        ...

    def close(self) -> None:
        """Release all resources. Idempotent."""
        ...


class LiveEngine(Engine, Protocol):
    """An engine whose items can change between two passes.

    A change is planned beside the passes and done between two passes. From then on every pass and
    every other method sees the new state. Only one change may be under way at a time.
    """

    @property
    def next_boundary(self) -> float:
        """When the next item becomes visible or invisible by its own times, unix seconds or inf."""
        ...

    def record(self, item_id: str) -> dict[str, object] | None:
        """Return an item as a journal records it (`Change.record`); None if unknown."""
        ...

    def plan(self, changes: Sequence[Change], now: float) -> Callable[[], None]:
        """Work out what changes mean, and return a call that makes them.

        Planning may take long and disturbs no pass; it encodes the texts of items whose words
        change. The call is fast; it is made in the thread that ranks, between two passes, and
        before the next `plan` or `merge`. `now`: unix seconds. Raises `EngineError`.
        """
        ...

    def merge(self) -> Callable[[], None] | None:
        """Plan to move all changed items into the main index; None if there are too few of them.

        Used as `plan` is.
        """
        ...

    def advance(self, now: float) -> None:
        """Make items visible or invisible by their own times. `now`: unix seconds.

        Fast; called in the thread that ranks, between two passes.
        """
        ...


class Cache(Protocol):
    """A shared store of finished answers. It may forget anything at any time.

    A value comes back exactly as it was put, or not at all. No method raises: an error is a miss,
    is reported by `CacheRead.failed` and a metric, and takes no longer than the cache's timeout.
    """

    async def get(self, fingerprint: bytes, state: bytes = b"") -> CacheRead:
        """Return the newest value of a fingerprint if it was put with this `state`, else a miss.

        All states of one fingerprint have the same length.
        """
        ...

    async def put(self, fingerprint: bytes, value: bytes, state: bytes = b"") -> None:
        """Store a value; it replaces any older one of the fingerprint. Best effort."""
        ...

    async def aclose(self) -> None:
        """Release connections. Idempotent."""
        ...


class LanguageModel(Protocol):
    """A language model. It may be slow, down or wrong: what it answers must be checked.

    Calls may run at the same time. None of them occupies the event loop for long.
    """

    async def ask(self, question: ModelQuestion) -> ModelAnswer:
        """Return its answer, within its timeout. Raises `LanguageModelError`."""
        ...

    async def aclose(self) -> None:
        """End the running calls and release all resources; later calls fail. Idempotent."""
        ...


class TextModel(Protocol):
    """A language model that writes text. It may be slow, down or wrong, as a `LanguageModel`.

    Calls may run at the same time. None of them occupies the event loop for long.
    """

    def write(self, question: TextQuestion) -> AsyncGenerator[str, None]:
        """Yield what it writes, piece by piece, none of them empty.

        Closing the generator ends the call at the endpoint. Raises `LanguageModelError`, also after
        some pieces.
        """
        ...

    async def aclose(self) -> None:
        """End the running calls and release all resources; later calls fail. Idempotent."""
        ...
