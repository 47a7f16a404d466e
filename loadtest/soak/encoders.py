"""Encodes texts of all lengths, in batches of all sizes, with one runtime, and samples its memory.

    python -m loadtest.soak.encoders onnxruntime --bundle models/demo --seconds 60

A runtime that keeps a buffer for each shape it has seen, or never gives one back, grows here.
Prints a JSON list of samples, a second apart.
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from app.bundle.reader import open_bundle
from app.engine.encoding.encoder import PackedEncoder
from app.engine.encoding.tokens import MOST_WORDS
from app.engine.open import ENCODER_FOLDER
from loadtest.soak.figures import Sample, give_back, memory_of
from loadtest.soak.inputs import Texts

RUNTIMES: Final = ("onnxruntime", "torch-cpu")
_MOST_TEXTS: Final = 8
_APART_S: Final = 1.0


def samples(
    encoder: PackedEncoder, texts: Texts, chance: random.Random, seconds: float
) -> list[Sample]:
    """Encode for some seconds; return what the process held every second.

    The cache of words is filled before, and the largest batch comes first: a runtime may keep what
    that has needed. Where either comes late, it looks like growth.
    """
    found: list[Sample] = []
    encoder.tokens(texts.words_of_nobody(2 * MOST_WORDS))
    encoder.encode([texts.longest() for _ in range(_MOST_TEXTS)], "query")
    began = time.monotonic()
    encoded, due = 0, _APART_S
    while due < seconds:
        batch = [texts.next() for _ in range(chance.randint(1, _MOST_TEXTS))]
        if len(encoder.encode(batch, "query")) != len(batch):
            raise RuntimeError("a text has no vector")
        encoded += len(batch)
        now = time.monotonic() - began
        if now < due:
            continue
        due = now + _APART_S
        give_back()
        memory, resident = memory_of(os.getpid())
        found.append(
            Sample(
                seconds=now,
                memory_mb=memory,
                resident_mb=resident,
                files=len(list(Path("/proc/self/fd").iterdir())),
                threads=len(list(Path("/proc/self/task").iterdir())),
                tasks=0,
                waiting=0,
                requests=encoded,
            )
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Encode, and print the samples."""
    parser = argparse.ArgumentParser("python -m loadtest.soak.encoders", description=__doc__)
    parser.add_argument("runtime", choices=RUNTIMES)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args(argv)
    folder = open_bundle(options.bundle).path / ENCODER_FOLDER
    encoder = PackedEncoder(folder, 1, options.runtime)
    chance = random.Random(1)
    texts = Texts(["a film about the sea", "red kitchen lamp"], chance)
    found = samples(encoder, texts, chance, options.seconds)
    print(json.dumps([asdict(sample) for sample in found]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
