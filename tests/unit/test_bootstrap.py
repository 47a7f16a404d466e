"""How the service starts: what its steps do to the first requests."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sentence_transformers.sentence_transformer.modules import Pooling

from app.bootstrap import open_service
from app.core.settings import Settings
from app.core.telemetry import Metrics
from app.offline.build import build
from app.offline.input.recipe import Recipe
from tests.bundles import ITEMS, write_jsonl
from tests.clock import Clock
from tests.tiny_bert import saved, tiny_bert

COLLECTION_S = 5.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of three items with a real, tiny encoder."""
    folder = tmp_path_factory.mktemp("bootstrap")
    model = saved(folder / "model", tiny_bert(folder / "bert"), Pooling(24, "mean"))
    items = write_jsonl(folder / "items.jsonl", ITEMS)
    build(items, None, Recipe(encoder=str(model)), folder / "small")
    return folder / "small"


@contextmanager
def slow_collections(clock: Clock) -> Iterator[list[str]]:
    """Let every full garbage collection take some seconds, by `clock`; yield a list of them."""
    seen: list[str] = []

    def on_collection(phase: str, info: dict[str, int]) -> None:
        if phase == "stop" and info["generation"] == 2:
            clock.advance(COLLECTION_S)
            seen.append(phase)

    gc.callbacks.append(on_collection)
    try:
        yield seen
    finally:
        gc.callbacks.remove(on_collection)


async def test_a_start_that_blocks_the_loop_is_not_taken_for_overload(
    bundle: Path, tmp_path: Path
) -> None:
    clock, metrics = Clock(), Metrics(CollectorRegistry())
    with slow_collections(clock) as collections:
        async with open_service(Settings(bundle=bundle, data_dir=tmp_path), metrics, clock) as s:
            assert collections  # the start did block
            measured = "recserve_event_loop_lag_seconds_count"
            async with asyncio.timeout(10):
                while not metrics.registry.get_sample_value(measured):  # noqa: ASYNC110 - a count
                    await asyncio.sleep(0.001)

            assert s.batcher.predicted_wait() == 0.0
