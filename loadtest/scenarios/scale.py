"""What learning costs at a given number of items and events.

    python -m loadtest.scenarios.scale --items 1000000 --events 20000000

Users and items are made up, and vectors are random: encoding is measured elsewhere and costs the
same for every item. Everything else is what `recserve build` runs after encoding. Prints the
seconds of each step as it ends, and one JSON document as the last line.
"""

import argparse
import json
import logging
import resource
from collections.abc import Sequence
from time import perf_counter

import numpy as np

from app.domain.columns import offsets_of
from app.offline.learning.learn import learn
from app.offline.learning.negatives import Negatives, Skipped
from app.offline.learning.sequences import Sequences
from loadtest.runners import machine

_WORDS = 50_000
_WORDS_PER_TEXT = 9
_SPREAD = 100
"""From an item a walk goes to one of the next 100, mostly to the first of them."""


class _Steps(logging.Handler):
    """Keeps the seconds of each step that learning logs."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.seconds: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.INFO and isinstance(record.args, tuple):
            name, seconds = record.args
            self.seconds[str(name)] = round(float(str(seconds)), 1)
            print(f"{name}: {seconds:.0f} s, peak {_peak_gib():.1f} GiB", flush=True)


def walks(n_items: int, n_events: int, seed: int) -> Sequences:
    """Return about `n_events` events; a user has 3 or more of them, 20 in the mean.

    The starts of the walks are as skewed as real popularity; each walk goes on to near items.
    """
    rng = np.random.default_rng(seed)
    lengths = 3 + rng.geometric(1 / 17, n_events // 20) - 1
    offsets = offsets_of(lengths)
    starts = (n_items * rng.random(len(lengths)) ** 2).astype(np.int64)
    steps = rng.geometric(3 / _SPREAD, int(offsets[-1]))
    walked = np.cumsum(steps)
    walked -= np.repeat(walked[offsets[:-1]], lengths)
    items = (np.repeat(starts, lengths) + walked) % n_items
    return Sequences(np.arange(len(lengths)), items, np.ones(len(items), np.float32), offsets)


def texts(n_items: int, seed: int) -> list[str]:
    """Return titles whose words are as skewed as real ones; neighbours share two of them."""
    rng = np.random.default_rng(seed)
    words = (_WORDS * rng.random((n_items, _WORDS_PER_TEXT)) ** 3).astype(np.int64)
    shared = np.arange(n_items) // 10
    return [
        f"series{group} line{group // 7} " + " ".join(f"w{word}" for word in row)
        for group, row in zip(shared.tolist(), words.tolist(), strict=True)
    ]


def vectors(n_items: int, seed: int, dim: int = 384) -> np.ndarray:
    """Return random unit vectors, float32[n_items, dim]."""
    unit = np.random.default_rng(seed).standard_normal((n_items, dim), np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit


def main(argv: Sequence[str] | None = None) -> None:
    """Make the data, learn, and print the document."""
    options = _options(argv)
    steps = _Steps()
    log = logging.getLogger("app.offline.learning.learn")
    log.setLevel(logging.INFO)
    log.addHandler(steps)
    sequences = walks(options.items, options.events, options.seed)
    made = texts(options.items, options.seed), vectors(options.items, options.seed)
    nobody = Sequences(
        users=sequences.users[:0],
        items=sequences.items[:0],
        weights=sequences.weights[:0],
        offsets=np.zeros(1, np.int64),
    )
    start = perf_counter()
    learned = learn(sequences, Negatives(nobody, Skipped.nothing()), *made, options.seed)
    seconds = perf_counter() - start
    document = {
        "command": "python -m loadtest.scenarios.scale "
        f"--items {options.items} --events {options.events}",
        "commit": machine.commit(),
        "machine": machine.describe(),
        "items": options.items,
        "events": len(sequences.items),
        "users": len(sequences),
        "learned": learned is not None,
        "metrics": dict(learned.metrics) if learned else {},
        "seconds": round(seconds, 1),
        "steps": steps.seconds,
        "peak_gib": round(_peak_gib(), 2),
    }
    print(json.dumps(document))


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.scale", description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
