"""A kernel reads eight scores where there are only seven left."""

import shutil
import tempfile
from pathlib import Path
from typing import Final

from app.engine.kernels import loader

_RIGHT: Final = "request.n_rows - at < 8 ? 1 : 8"
_WRONG: Final = "request.n_rows - at < 7 ? 1 : 8"


def seed() -> None:
    """Compile a copy of the source with one character changed."""
    folder = Path(tempfile.mkdtemp(prefix="recserve-kernel-"))
    for path in loader.FOLDER.glob("*.[ch]"):
        shutil.copy(path, folder)
    source = folder / "topk.c"
    text = source.read_text()
    if _RIGHT not in text:
        raise LookupError("topk.c does not have the line that is to be changed")
    source.write_text(text.replace(_RIGHT, _WRONG))
    loader.FOLDER = folder
