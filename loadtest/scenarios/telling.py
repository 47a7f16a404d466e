"""Texts about answers by a small language model: what passes the check, and how long it takes.

    python -m loadtest.scenarios.telling --out telling.json --sentences passed.txt

It serves a bundle in a process of its own, with SmolLM2 of this machine as its language model, and
asks `POST /recommend/stream` about many different things, one after the other. It writes how many
sentences were replaced and the times as JSON, and sentences of the model that passed, with their
items, for labelling by hand. `--minutes` ends it early.
"""

import argparse
import json
import random
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from app.serving.telling.sentences import SentenceCutter
from loadtest.runners import local_model
from loadtest.runners.queries import demo_films
from loadtest.runners.services import BUNDLE, RECSERVE, Service, free_port

_GENRES: Final = ("crime", "comedy", "drama", "horror", "western", "war", "romance", "mystery")
_DECADES: Final = (1950, 1960, 1970, 1980, 1990, 2000)
_TOKENS: Final = 100
_SHOWN: Final = 100


class Recorded(local_model.Model):
    """The model; `texts` has all that it wrote."""

    def __init__(self) -> None:
        """Load it."""
        super().__init__()
        self.texts: list[str] = []

    def write(self, body: dict[str, Any], put: Callable[[str], bool]) -> str:
        """Write, and note what was written."""
        self.texts.append("")
        text = super().write(body, put)
        self.texts[-1] = text
        return text


@dataclass(slots=True)
class Streamed:
    """One stream: its items, its sentences with their writers, and seconds from its begin."""

    items: list[dict[str, Any]] = field(default_factory=list)
    told: list[dict[str, str]] = field(default_factory=list)
    items_s: float = 0.0
    text_s: float = 0.0
    done_s: float = 0.0


def requests(n: int, seed: int = 1) -> list[dict[str, Any]]:
    """Return different requests: genres and decades, titles, and films that were seen."""
    rng = random.Random(seed)
    films = demo_films()
    said: list[dict[str, Any]] = [
        {"query": f"{genre} films from the {decade}s"} for genre in _GENRES for decade in _DECADES
    ]
    ids = rng.sample(sorted(films), 2 * n)
    said += [{"query": films[film]} for film in ids[:n]]
    said += [{"history": [film]} for film in ids[n:]]
    rng.shuffle(said)
    return [{**each, "k": 5, "budget_ms": 10_000} for each in said[:n]]


def streamed(client: httpx.Client, said: dict[str, Any]) -> Streamed:
    """Read one stream."""
    found = Streamed()
    begin = time.perf_counter()
    with client.stream("POST", "/recommend/stream", json=said) as reply:
        reply.raise_for_status()
        for name, data in _events(reply.iter_lines()):
            now = time.perf_counter() - begin
            if name == "items":
                found.items, found.items_s = data["items"], now
            elif name == "text":
                found.told.append(data)
                found.text_s = found.text_s or now
            else:
                found.done_s = now
    return found


def _events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line:
            yield name, json.loads(line.removeprefix("data: "))


def shown(streams: Sequence[Streamed], texts: Sequence[str]) -> dict[str, Any]:
    """Return counts, shares and times as JSON."""
    wrote = sum(len(_sentences(text)) for text in texts)
    passed = sum(told["by"] == "model" for each in streams for told in each.told)
    told = sum(len(each.told) for each in streams)
    return {
        "model": local_model.NAME,
        "answers": len(streams),
        "sentences_of_the_model": wrote,
        "passed": passed,
        "replaced_share": round(1 - passed / wrote, 4) if wrote else None,
        "sentences_told": told,
        "told_by_model_share": round(passed / told, 4) if told else None,
        "items_ms": _times([each.items_s for each in streams]),
        "first_text_ms": _times([each.text_s for each in streams]),
        "done_ms": _times([each.done_s for each in streams]),
    }


def _sentences(text: str) -> list[str]:
    cutter = SentenceCutter([])
    return [*cutter.take(text), *cutter.last()]


def _times(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(1e3 * each for each in seconds)
    return {
        "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
    }


def for_labelling(streams: Sequence[Streamed], most: int = _SHOWN) -> Iterator[str]:
    """Yield lines: a sentence of the model that passed, and what is known of the items."""
    passed = [
        (told["text"], each.items)
        for each in streams
        for told in each.told
        if told["by"] == "model"
    ]
    for text, items in random.Random(0).sample(passed, min(most, len(passed))):
        facts = "; ".join(
            f"{item['title']} {item['fields']}"
            for item in items
            if re.sub(r"(, (The|An?))?( \(.*)?$", "", item["title"] or "") in text
        )
        yield f"{text}\t[{facts}]"


def measured(
    bundle: Path, said: Sequence[dict[str, Any]], minutes: float, work: Path
) -> tuple[list[Streamed], list[str]]:
    """Serve a bundle with the local model; return the streams, and what the model wrote."""
    model = Recorded()
    server = local_model.server_of(model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = free_port()
    flags = {
        "--bundle": bundle,
        "--port": port,
        "--data-dir": work / "data",
        "--llm-url": f"http://127.0.0.1:{server.server_port}/v1",
        "--llm-max-per-minute": 10_000,
        "--llm-text-tokens": _TOKENS,
        "--llm-text-ms": 60_000,
    }
    command = [str(RECSERVE), "serve", *(str(part) for flag in flags.items() for part in flag)]
    end = time.monotonic() + 60 * minutes
    streams: list[Streamed] = []
    with (
        Service("recserve", command, port, work / "serve.log"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client,
    ):
        for each in said:
            if time.monotonic() > end:
                break
            streams.append(streamed(client, {**each, "fields": ["categories", "published_at"]}))
    server.shutdown()
    return streams, model.texts


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.telling")
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--answers", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sentences", type=Path, help="where sentences that passed are written")
    parser.add_argument("--texts", type=Path, help="where all that the model wrote is written")
    options = parser.parse_args()
    missing = local_model.missing()
    if missing:
        sys.exit(f"not installed: {missing}")
    with tempfile.TemporaryDirectory() as folder:
        streams, texts = measured(
            options.bundle, requests(options.answers), options.minutes, Path(folder)
        )
    content = json.dumps(shown(streams, texts), indent=1)
    print(content)
    if options.out:
        options.out.write_text(content + "\n", "utf-8")
    if options.sentences:
        lines = for_labelling(streams)
        options.sentences.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    if options.texts:
        options.texts.write_text("\n---\n".join(texts) + "\n", "utf-8")


if __name__ == "__main__":
    main()
