"""A small shop for the trials: 150 items, 40 users, and a bundle of them with the real encoder.

It has no table for fast encoding, which would take most of the time of the build. A trial that
needs one serves the demo (`loadtest.runners.services.BUNDLE`).
"""

import hashlib
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from app.bundle.reader import FORMAT_VERSION
from app.engine.kernels.features import FEATURES_VERSION
from app.engine.retrieval.word_cutting import WORD_CUTTING_VERSION
from loadtest.runners.services import ROOT

_KINDS: Final = ("lamp", "chair", "desk", "rug", "mirror", "shelf", "sofa", "clock", "vase", "bed")
_LOOKS: Final = ("red", "blue", "green", "oak", "steel", "glass", "soft", "round", "tall", "small")
_ROOMS: Final = ("kitchen", "bedroom", "office", "garden", "hall")
N_ITEMS: Final = 150
N_USERS: Final = 40
_EVENTS_OF_A_USER: Final = 12


def item_id(number: int) -> str:
    """Return the id of an item, 0 … N_ITEMS - 1."""
    return f"item-{number}"


def user_id(number: int) -> str:
    """Return the id of a user, 0 … N_USERS - 1."""
    return f"user-{number}"


def queries(n: int, seed: int = 0) -> list[str]:
    """Return `n` distinct queries in words of the shop."""
    chance = random.Random(seed)
    return [
        f"{chance.choice(_LOOKS)} {chance.choice(_KINDS)} for the {chance.choice(_ROOMS)} {n}"
        for n in range(n)
    ]


def bundle() -> Path:
    """Return the bundle, `models/chaos-…`; it is built if it is missing, which takes some seconds.

    Its name changes with this module and with the formats of bundles, so it is never an old one.

    Raises:
        RuntimeError: it could not be built.
    """
    versions = f"{FORMAT_VERSION} {FEATURES_VERSION} {WORD_CUTTING_VERSION}".encode()
    digest = hashlib.blake2b(Path(__file__).read_bytes() + versions, digest_size=6).hexdigest()
    out = ROOT / "models" / f"chaos-{digest}"
    if not (out / "current").exists():
        with tempfile.TemporaryDirectory() as folder:
            items, events = write(Path(folder))
            command = [sys.executable, "-m", "recserve", "build", "--items", str(items)]
            command += ["--events", str(events), "--out", str(out)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the bundle of the trials could not be built:\n{done.stderr}")
    return out


def write(folder: Path) -> tuple[Path, Path]:
    """Write the files of items and of events into a folder, and return them."""
    chance = random.Random(1)
    items, events = folder / "items.jsonl", folder / "events.jsonl"
    with items.open("w") as file:
        for n in range(N_ITEMS):
            kind, look, room = _KINDS[n % 10], _LOOKS[n // 10 % 10], chance.choice(_ROOMS)
            row = {
                "id": item_id(n),
                "title": f"{look.title()} {kind} {n}",
                "categories": [kind, room],
                "description": f"A {look} {kind} for the {room}.",
                "price": round(chance.uniform(5, 500), 2),
                "published_at": 2000 + n % 25,
            }
            file.write(json.dumps(row) + "\n")
    with events.open("w") as file:
        for n in range(N_USERS * _EVENTS_OF_A_USER):
            row = {
                "user_id": user_id(n % N_USERS),
                "item_id": item_id(chance.randrange(N_ITEMS)),
                "timestamp": 1_700_000_000 + n,
            }
            file.write(json.dumps(row) + "\n")
    return items, events
