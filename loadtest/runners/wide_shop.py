"""A shop whose fields have thousands of different values, served without a model.

Filters, facets and limits are tried on it: what they cost grows with the values of a field.
`serve_command` says how to start it in a process of its own.
"""

import argparse
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from app.api.fast_path import FastPathProtocol
from app.api.server import create_app
from app.bootstrap import Service, wire
from app.bundle.reader import open_bundle
from app.core.ports import Encoder
from app.core.settings import Settings
from app.core.telemetry import Metrics
from app.engine.open import engine_of
from app.offline.build import build
from app.offline.input.recipe import Recipe
from app.serving.stores.bundle_users import BundleUserStore
from app.serving.stores.opening import (
    open_control_store,
    open_event_store,
    open_journal,
    store_namespace,
)
from app.testing.encoder import HashEncoder
from loadtest.runners.services import free_port

N_ITEMS: Final = 20_000
FIELDS: Final = {
    "code": "string",
    "tags": "strings",
    "price": "number",
    "sold_at": "time",
    "fresh": "boolean",
    "provider": "string",
}
"""Field -> kind. Each code is different, and there are 5,000 tags."""

_WORDS: Final = ("space", "love", "crime", "war", "night", "river", "king", "stone", "music", "dog")
_DIM: Final = 64


def write_items(path: Path, n_items: int = N_ITEMS) -> Path:
    """Write the items of the shop as JSON Lines."""
    with path.open("w") as file:
        for row in _rows(n_items):
            file.write(json.dumps(row) + "\n")
    return path


def _rows(n_items: int) -> Iterator[dict[str, Any]]:
    for n in range(n_items):
        words = [_WORDS[n % 10], _WORDS[n // 10 % 10], _WORDS[n // 100 % 10]]
        yield {
            "id": str(n),
            "title": f"{' '.join(words)} {n}",
            "categories": sorted(set(words)),
            "published_at": 1950 + n % 75,
            "code": f"code-{n:06}",
            "tags": [f"tag-{n % 5000}", f"tag-{(n * 7) % 5000}"],
            "price": n / 10,
            "sold_at": f"20{10 + n % 15}-03-01T00:00:00Z",
            "fresh": n % 3 == 0,
            "provider": f"provider-{n % 50}",
        }


def build_wide(folder: Path, n_items: int = N_ITEMS) -> Path:
    """Build the bundle of the shop, and return its folder."""
    items = write_items(folder / "items.jsonl", n_items)
    events = folder / "events.jsonl"
    with events.open("w") as file:
        for n in range(2_000):
            event = {"user_id": str(n % 200), "item_id": str(n * 37 % n_items), "timestamp": n}
            file.write(json.dumps(event) + "\n")
    return build(items, events, Recipe(), folder / "shop", _named).bundle.path


def _named(model: str, folder: Path) -> Encoder:
    (folder / "model.txt").write_text(model)
    return HashEncoder(_DIM)


def wide_app(bundle: Path, data: Path) -> FastAPI:
    """Return the application over the bundle of `build_wide`. `data`: folder of its stores."""
    settings = Settings(bundle=bundle, data_dir=data, access_log_per_second=0)

    @asynccontextmanager
    async def opened(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
        verified = open_bundle(bundle)
        engine = engine_of(verified, 1, encoder=HashEncoder(_DIM))
        async with wire(
            settings,
            metrics,
            engine,
            BundleUserStore.open(verified),
            None,
            events=await open_event_store(settings),
            journal=open_journal(settings, store_namespace(settings)),
            control=open_control_store(settings, store_namespace(settings)),
        ) as service:
            yield service

    return create_app(settings, opened)


def serve_command(bundle: Path, data: Path) -> tuple[list[str], int]:
    """Return the command that serves the shop, and the port on which it will listen."""
    port = free_port()
    command = [sys.executable, "-m", "loadtest.runners.wide_shop", "--bundle", str(bundle)]
    return [*command, "--data", str(data), "--port", str(port)], port


def _main() -> None:
    parser = argparse.ArgumentParser("python -m loadtest.runners.wide_shop")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    sys.setswitchinterval(0.0001)  # as the service does
    uvicorn.run(
        wide_app(options.bundle, options.data),
        port=options.port,
        http=FastPathProtocol,
        ws="none",
        loop="uvloop",
        access_log=False,
        log_config=None,
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    _main()
