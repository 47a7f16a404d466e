"""The command `recserve demo`: serve the MovieLens demo, and build and train it where needed.

A demo that is missing, or that this version cannot serve, is built without training: that takes a
fraction of the time. It is served at once, while a child process trains it
(`app.commands.demo_training`); the trained generation takes over by the reload that every service
does. With `wait` or `build_only` the demo is trained before it is served.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from app.bundle.generations import is_generation
from app.bundle.manifest import Manifest
from app.bundle.reader import CURRENT, open_bundle
from app.bundle.training_lock import is_training, try_training_lock, wait_for_training_lock
from app.commands.demo_training import TRAIN, train_beside
from app.commands.greeting import greeting
from app.core.errors import BundleError
from app.core.own_package import python_module
from app.core.settings import Settings
from app.engine.open import ENCODER_FOLDER, check_versions
from app.offline.demo_recipe import is_demo
from app.offline.progress import logged_steps
from app.server_process import check_addresses, export_settings, run

_KERNEL_FILE = f"{ENCODER_FOLDER}/kernel.safetensors"
"""The weights of the demo's encoder for our own kernels. Without them it is several times slower;
bundles of early versions lack them."""


def run_demo(settings: Settings, *, wait: bool = False, build_only: bool = False) -> int:
    """Build and train the demo as far as needed, then serve it; return the exit code.

    Args:
        settings: of the service; `settings.bundle` is where the demo is built.
        wait: whether to train the demo before it is served.
        build_only: whether to stop once the demo is built and trained.

    Raises:
        OSError: the address is taken.
        AppError: the demo cannot be built or served.
    """
    if not build_only:
        check_addresses(settings)
    root, trained_only = settings.bundle, wait or build_only
    manifest = servable(root)
    if manifest is None or (trained_only and is_untrained(manifest)):
        with logged_steps():
            _build(root, trained_only=trained_only)
        if not build_only:
            # What builds loads torch; the process that serves starts again without it.
            export_settings(settings)
            command = (*python_module("app.cli"), "demo")
            os.execv(sys.executable, command)  # noqa: S606
    if build_only:
        return 0
    if wait or manifest is None or not is_untrained(manifest):
        return _serve(settings)
    return serve_and_train(settings)


def serve_and_train(settings: Settings, command: Sequence[str] = TRAIN) -> int:
    """Serve an untrained demo while a child process trains it; return the exit code.

    The child is stopped when the service stops. Where another process trains the demo already,
    nobody else does: its result is served as well.

    Args:
        settings: of the service.
        command: what trains; the path of the bundle is added to it.
    """
    lock = try_training_lock(settings.bundle)
    if lock is None:
        _say("another process trains the demo; the trained one takes over when it is done")
        return _serve(settings)
    _say("serving the untrained demo; it is trained meanwhile, and the trained one takes over")
    with train_beside(settings.bundle, lock, command):
        return _serve(settings)


def _serve(settings: Settings) -> int:
    with greeting(settings):
        return run(settings)


def servable(path: Path) -> Manifest | None:
    """Return the manifest of the demo at `path`, or None where this version cannot serve it.

    The reason is printed, unless there is no demo yet.

    Raises:
        BundleError: `path` is a single generation that cannot be served; a demo is not built there.
    """
    try:
        bundle = open_bundle(path)
        check_versions(bundle)
        _require_kernel_file(bundle.manifest)
    except BundleError as error:
        if is_generation(path):
            raise
        if (path / CURRENT).is_symlink():
            _say(f"the demo cannot be served and is built again: {error.message}")
        return None
    return bundle.manifest


def is_untrained(manifest: Manifest) -> bool:
    """Tell whether a bundle is the demo, and has learned nothing from its events.

    Another bundle, which `--bundle` can name, must not be trained with the events of the demo.
    """
    return manifest.learned is None and manifest.n_events > 0 and is_demo(manifest)


def _require_kernel_file(manifest: Manifest) -> None:
    if is_demo(manifest) and _KERNEL_FILE not in manifest.files:
        raise BundleError(f"it lacks {_KERNEL_FILE}, so that it was built by an older version")


def _build(root: Path, *, trained_only: bool) -> None:
    """Build the demo, or train the one that is there; print what came of it."""
    # Here, not above: building takes torch.
    from app.offline.demo import build_demo, train_demo

    if not trained_only:
        _print(build_demo(root, learning=False))
        return
    if is_training(root):
        _say("another process trains the demo: waiting for it to end")
    with wait_for_training_lock(root):
        # It may have been trained while we waited.
        manifest = servable(root)
        if manifest is None:
            _print(build_demo(root))
        elif is_untrained(manifest):
            _print(train_demo(root))


def _print(report: object) -> None:
    print(report, flush=True)


def _say(text: str) -> None:
    print(f"recserve: {text}", file=sys.stderr, flush=True)
