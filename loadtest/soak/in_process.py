"""The whole service in one process, without HTTP and with an encoder that only hashes.

    python -m loadtest.soak.in_process --bundle FOLDER --requests 100000

So much passes through batcher, caches, engine and stores in a short time. Every request is another
one. Prints a line of JSON: how much memory was taken after a warm-up (MB); how many more tasks,
series of metrics, and results in caches without a bound there are; and which containers have grown
with the number of requests.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import _lru_cache_wrapper
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry

from app.bootstrap import Service, wire
from app.bundle.reader import open_bundle
from app.core.caller import NOBODY
from app.core.settings import Settings
from app.core.telemetry import Metrics
from app.domain.request import RecommendRequest
from app.engine.encoding.encoder import PackedEncoder
from app.engine.open import ENCODER_FOLDER, engine_of
from app.serving.stores.bundle_users import BundleUserStore
from app.serving.stores.opening import (
    open_control_store,
    open_event_store,
    open_journal,
    store_namespace,
)
from loadtest.soak.figures import give_back, memory_of
from loadtest.soak.inputs import Texts

_AT_ONCE: Final = 64
_CHARACTERS: Final = 24
"""Of a query at most: long ones, which take longer, are part of `make soak`."""
_LOCAL_BYTES: Final = 1_048_576
_LARGE: Final = 20_000
"""Containers of fewer entries are not looked at: caches hold some thousand."""
_STOP_MB: Final = 300.0


class HashedTexts(PackedEncoder):
    """Real tokens, and a vector of their hash instead of a model."""

    def encode_tokens(self, tokens: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Return float32[len(tokens), dim], rows of unit norm."""
        rows = np.empty((len(tokens), self.dim), np.float32)
        for row, ids in zip(rows, tokens, strict=True):
            digest = blake2b(np.array(ids, np.int64).tobytes()).digest()
            row[:] = np.resize(np.frombuffer(digest, np.int8), self.dim)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


async def run(bundle_path: Path, warm_up: int, requests: int) -> dict[str, object]:
    """Ask `warm_up` and then `requests` different requests; return what has grown meanwhile."""
    bundle = open_bundle(bundle_path)
    engine = engine_of(bundle, 1, encoder=HashedTexts(bundle.path / ENCODER_FOLDER, 1))
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            bundle=bundle_path, data_dir=Path(folder), cache_local_bytes=_LOCAL_BYTES
        )
        metrics, name = Metrics(CollectorRegistry()), store_namespace(settings)
        async with wire(
            settings,
            metrics,
            engine,
            BundleUserStore.open(bundle),
            None,
            events=await open_event_store(settings),
            journal=open_journal(settings, name),
            control=open_control_store(settings, name),
        ) as service:
            texts = Texts([f"{look} lamp" for look in ("red", "oak", "soft")], random.Random(1))
            chance = random.Random(2)
            await _ask(service, texts, chance, warm_up, lambda: False)
            before = _state(metrics)
            grown_too_far = lambda: _memory() - before["memory_mb"] > _STOP_MB  # noqa: E731
            asked = await _ask(service, texts, chance, requests, grown_too_far)
            after = _state(metrics)
    return {
        "requests": asked,
        "grown_mb": round(after["memory_mb"] - before["memory_mb"], 1),
        "more_tasks": after["tasks"] - before["tasks"],
        "more_series": after["series"] - before["series"],
        "large": _large(max(_LARGE, asked // 2)),
        "more_remembered": after["remembered"] - before["remembered"],
    }


async def _ask(
    service: Service,
    texts: Texts,
    chance: random.Random,
    n: int,
    stop: Callable[[], bool],
) -> int:
    """Send `n` requests, 64 at once; return how many were sent before `stop` said so."""
    for done in range(0, n, _AT_ONCE):
        asks = [_request(texts, chance) for _ in range(_AT_ONCE)]
        await asyncio.gather(*[service.recommender.recommend(ask, NOBODY) for ask in asks])
        if done % (_AT_ONCE * 32) == 0 and stop():
            return done + _AT_ONCE
    return n


def _request(texts: Texts, chance: random.Random) -> RecommendRequest:
    fields: dict[str, object] = {"query": texts.next()[-_CHARACTERS:], "k": 5, "budget_ms": 10_000}
    if chance.random() < 0.2:
        fields["user_id"] = f"user {chance.getrandbits(60)}"
    return RecommendRequest.model_validate(fields)


def _state(metrics: Metrics) -> Mapping[str, float]:
    return {
        "memory_mb": _memory(),
        "tasks": len(asyncio.all_tasks()),
        "series": metrics.text().count(b"\n"),
        "remembered": _remembered_for_ever(),
    }


def _memory() -> float:
    """Return the memory of this process without garbage, in MB."""
    give_back()
    return memory_of(os.getpid())[0]


def _large(least: int) -> list[str]:
    """Return type and size of the containers with at least so many entries."""
    kinds = (dict, list, set, deque)
    found = [each for each in gc.get_objects() if isinstance(each, kinds) and len(each) >= least]
    return sorted(f"{type(each).__name__} of {len(each)}" for each in found)


def _remembered_for_ever() -> int:
    """Return the number of results that functions of the service remember without a bound."""
    caches = [each for each in gc.get_objects() if isinstance(each, _lru_cache_wrapper)]
    facts = [each.cache_info() for each in caches if each.__module__.startswith("app.")]
    return sum(fact.currsize for fact in facts if fact.maxsize is None)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and print the result."""
    parser = argparse.ArgumentParser("python -m loadtest.soak.in_process", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--warm-up", type=int, default=20_000)
    parser.add_argument("--requests", type=int, default=100_000)
    options = parser.parse_args(argv)
    print(json.dumps(asyncio.run(run(options.bundle, options.warm_up, options.requests))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
