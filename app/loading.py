"""Loading a bundle for serving: verified, opened, warm; and keeping memory settled around it.

Blocking throughout: `app.bootstrap` calls it before anything is served, a reload in a thread.
"""

import ctypes
import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from app.bundle import Bundle, open_bundle
from app.errors import BundleError
from app.event_rules import DEFAULT_WEIGHTS, Weight
from app.generations import generation_at
from app.ports import Engine
from app.serving.current_engine import Loaded
from app.serving.reloader import BundleSource
from app.serving.users import BundleUserStore
from app.settings import Settings
from app.types import RankRequest

_ALLOCATIONS_PER_COLLECTION = 20_000
_WARM_UP_REPEATS = (1, 2, 4, 8, 16, 32)


def bundle_source(settings: Settings) -> BundleSource:
    """Return where the generations of the settings' bundle come from."""
    return BundleSource(
        points_to=partial(generation_at, settings.bundle),
        load=lambda: _warmed_up(load(settings), settings.max_batch_requests),
        settle=_settle,
    )


def load(settings: Settings) -> Loaded:
    """Verify and load the bundle of the settings. Blocking. Raises `BundleError`."""
    # Here, not above: importing the server must not load model libraries.
    from app.engine.open import engine_of

    bundle = open_bundle(settings.bundle)
    engine = engine_of(bundle, settings.threads_per_worker())
    return Loaded(engine, BundleUserStore.open(bundle), _rules(bundle))


def _warmed_up(loaded: Loaded, most: int) -> Loaded:
    """Let an engine answer that does not serve yet, through all stages. Blocking.

    Raises:
        BundleError: an answer is missing, empty or degraded.
        EngineError: a pass failed.
    """
    for batch in warm_up_batches(most):
        items = _first_items(loaded.engine, batch)
    _first_items(loaded.engine, [RankRequest(history=items)])
    return loaded


def _first_items(engine: Engine, batch: Sequence[RankRequest]) -> tuple[str, ...]:
    """Return the ids of the first answer to a batch whose answers are all good."""
    results = engine.rank(batch).results
    good = all(r.items and not r.degraded for r in results) or not engine.info.n_items
    if len(results) != len(batch) or not good:
        raise BundleError("the bundle fails its warm-up")
    return tuple(item.id for item in results[0].items)


def warm_up_batches(most: int) -> Iterator[list[RankRequest]]:
    """Yield requests of several lengths, one at a time, then `most` at once."""
    for repeats in _WARM_UP_REPEATS:
        yield [RankRequest(query=" ".join(["warm up"] * repeats))]
    yield [RankRequest(query=f"warm up {number}") for number in range(most)]


def _settle() -> None:
    """Give back what the old bundle took, and keep the collector away from the new one.

    A bundle's parts make no cycles, so the old one is freed by now; what was frozen before stays
    frozen, for a collection over all of it stops the event loop for 50 ms.
    """
    gc.collect()
    gc.freeze()
    # The C library keeps what was freed, in an arena of every thread; others than glibc do not.
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def settled_memory() -> Iterator[None]:
    """Keep the garbage collector away from what was loaded, and from running at every turn.

    Requests leave no cycles behind, so collecting seldom costs no memory; a full collection over
    the libraries' objects would stop the event loop for tens of milliseconds.
    """
    thresholds = gc.get_threshold()
    _settle()
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _rules(bundle: Bundle) -> Mapping[str, Weight]:
    """Return what the recipe of a bundle says of each kind of event."""
    weights = bundle.manifest.recipe.get("weights", {})
    return {**DEFAULT_WEIGHTS, **{kind: Weight(**rule) for kind, rule in weights.items()}}
