"""A library crashes when it opens a bundle whose recipe says `crash`."""

import os
import signal
from typing import Any

from app.bundle.reader import Bundle
from app.engine import open as opening
from loadtest.chaos import faulty_service


def seed() -> None:
    """Let the engine of such a bundle crash, here and in the process that tries it."""
    right = opening.engine_of

    def crashing(bundle: Bundle, *args: Any, **more: Any) -> object:  # noqa: ANN401
        if bundle.manifest.recipe.get("crash"):
            os.kill(os.getpid(), signal.SIGSEGV)
        return right(bundle, *args, **more)

    opening.engine_of = crashing
    faulty_service.in_trials("crashing_library")
