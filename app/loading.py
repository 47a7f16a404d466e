"""Loading a bundle for serving: it is verified, opened and warmed up.

Everything here blocks. `app.bootstrap` calls it before the service answers, a reload calls it in a
thread.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from app.bundle.generations import generation_at
from app.bundle.reader import Bundle, open_bundle
from app.core.errors import BundleError
from app.core.memory import settle
from app.core.ports import Engine
from app.core.ranking import RankRequest
from app.core.settings import Settings
from app.domain.event_rules import DEFAULT_EVENT_RULES, EventRule
from app.serving.current_engine import LoadedBundle
from app.serving.intents.facts import count_values
from app.serving.reloader import BundleSource
from app.serving.stores.bundle_users import BundleUserStore

if TYPE_CHECKING:
    from app.engine.encoding.encoder import PackedEncoder

_WARM_UP_REPEATS = (1, 2, 4, 8, 16, 32)
_CROWD_BESIDE_ANOTHER = 8


class Loader:
    """Loads generations of the bundle that the settings name, one at a time.

    The encoder is kept if its files are the same in the next generation: to load it takes most of
    the time, and parts of that stop every other thread.
    """

    def __init__(self, settings: Settings) -> None:
        """Prepare to load what `settings.bundle` points to when `load` is called."""
        self._settings = settings
        self._files: Mapping[str, str] = {}
        self._encoder: PackedEncoder | None = None

    def load(self) -> LoadedBundle:
        """Verify and load the bundle of the settings. Blocking.

        Raises:
            BundleError: the bundle cannot serve.
            DeviceError, EngineError: the device cannot be used, failed, or has no room.
        """
        # Checksums are computed without the interpreter's lock, so the libraries load meanwhile.
        with ThreadPoolExecutor(1) as pool:
            verified = pool.submit(open_bundle, self._settings.bundle)
            import app.engine.open  # noqa: F401 - for `_load`

            bundle = verified.result()
        return self._load(bundle)

    def _load(self, bundle: Bundle) -> LoadedBundle:
        # Here, not above: importing the server must not load model libraries.
        from app.engine.open import encoder_files, encoder_of, engine_of

        settings = self._settings
        threads, files = settings.threads_per_worker(), encoder_files(bundle)
        if self._encoder is None or files != self._files:
            self._encoder = encoder_of(bundle, threads, settings.device)
            self._files = files
        engine = engine_of(bundle, threads, device=settings.device, encoder=self._encoder)
        return LoadedBundle(engine, BundleUserStore.open(bundle), _rules(bundle))

    def source(self, trial: Callable[[Bundle], None]) -> BundleSource:
        """Return the source of further generations, for reloads.

        `trial`: raises `BundleError` for a verified bundle that must not be opened here.
        """
        return BundleSource(
            points_to=partial(generation_at, self._settings.bundle),
            load=partial(self._warmed_up, trial),
            settle=settle,
        )

    def _warmed_up(self, trial: Callable[[Bundle], None]) -> LoadedBundle:
        bundle = open_bundle(self._settings.bundle)
        trial(bundle)
        loaded = self._load(bundle)
        warm_up(loaded.engine)
        if self._settings.llm_url is None:
            return loaded
        return replace(loaded, facets=count_values(loaded.engine))


def warm_up(engine: Engine) -> None:
    """Send requests through all stages of an engine that does not serve yet. Blocking.

    The batches are small, because another engine serves on the same cores.

    Raises:
        BundleError: an answer is missing, empty or degraded.
        EngineError: a pass failed.
    """
    for batch in warm_up_batches(_CROWD_BESIDE_ANOTHER):
        items = _first_items(engine, batch)
    _first_items(engine, [RankRequest(history=items)])


def _first_items(engine: Engine, batch: Sequence[RankRequest]) -> tuple[str, ...]:
    """Rank a batch, check all answers, and return the item ids of the first one."""
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


def _rules(bundle: Bundle) -> Mapping[str, EventRule]:
    """Return the event rules of the recipe that a bundle was built by, over the default ones."""
    weights = bundle.manifest.recipe.get("weights", {})
    return {**DEFAULT_EVENT_RULES, **{kind: EventRule(**rule) for kind, rule in weights.items()}}
