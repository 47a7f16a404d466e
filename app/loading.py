"""Loading a bundle for serving: verified, opened, warm.

Blocking throughout: `app.bootstrap` calls it before anything is served, a reload in a thread.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from app.bundle.generations import generation_at
from app.bundle.reader import Bundle, open_bundle
from app.core.errors import BundleError
from app.core.memory import settle
from app.core.ports import Engine
from app.core.settings import Settings
from app.core.types import RankRequest
from app.domain.event_rules import DEFAULT_EVENT_RULES, EventRule
from app.serving.current_engine import Loaded
from app.serving.reloader import BundleSource
from app.serving.stores.bundle_users import BundleUserStore

if TYPE_CHECKING:
    from app.engine.encoding.encoder import PackedEncoder

_WARM_UP_REPEATS = (1, 2, 4, 8, 16, 32)
_CROWD_BESIDE_ANOTHER = 8


class Loader:
    """Loads one generation of the settings' bundle after the other, one at a time.

    An encoder whose files are those of the generation before is kept: it is most of what loading
    costs, and parts of that stop every other thread.
    """

    def __init__(self, settings: Settings) -> None:
        """Load what `settings.bundle` points to at the time."""
        self._settings = settings
        self._files: Mapping[str, str] = {}
        self._encoder: PackedEncoder | None = None

    def load(self) -> Loaded:
        """Verify and load the bundle of the settings. Blocking.

        Raises:
            BundleError: the bundle cannot serve.
            DeviceError, EngineError: the device cannot be used, failed, or has no room.
        """
        # Here, not above: importing the server must not load model libraries.
        from app.engine.open import encoder_files, encoder_of, engine_of

        settings, bundle = self._settings, open_bundle(self._settings.bundle)
        threads, files = settings.threads_per_worker(), encoder_files(bundle)
        if self._encoder is None or files != self._files:
            self._encoder = encoder_of(bundle, threads, settings.device)
            self._files = files
        engine = engine_of(bundle, threads, device=settings.device, encoder=self._encoder)
        return Loaded(engine, BundleUserStore.open(bundle), _rules(bundle))

    def source(self) -> BundleSource:
        """Return where further generations come from."""
        return BundleSource(
            points_to=partial(generation_at, self._settings.bundle),
            load=self._warmed_up,
            settle=settle,
        )

    def _warmed_up(self) -> Loaded:
        loaded = self.load()
        warm_up(loaded.engine)
        return loaded


def warm_up(engine: Engine) -> None:
    """Let an engine answer that does not serve yet, through all stages. Blocking.

    In small batches: the other one serves on the same cores.

    Raises:
        BundleError: an answer is missing, empty or degraded.
        EngineError: a pass failed.
    """
    for batch in warm_up_batches(_CROWD_BESIDE_ANOTHER):
        items = _first_items(engine, batch)
    _first_items(engine, [RankRequest(history=items)])


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


def _rules(bundle: Bundle) -> Mapping[str, EventRule]:
    """Return what the recipe of a bundle says of each kind of event."""
    weights = bundle.manifest.recipe.get("weights", {})
    return {**DEFAULT_EVENT_RULES, **{kind: EventRule(**rule) for kind, rule in weights.items()}}
