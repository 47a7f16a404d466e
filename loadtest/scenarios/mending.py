"""What a language model mends of the queries that the parser understands little of.

    python -m loadtest.scenarios.mending --half frozen                  # one that is always right
    python -m loadtest.scenarios.mending --half frozen --local          # SmolLM2 on this machine
    python -m loadtest.scenarios.mending --half frozen --url URL --model NAME

It builds the catalogues of tests/data/intent and finds the labelled queries whose parse is weak.
Each bundle is served in a process of its own with that model. Every such query is sent once and
learned; then it is interpreted again. Before and after are compared with the label.

The model that is always right answers with the labels. It shows what the mechanism around a model
loses.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from app.domain.intent import intent_of
from app.domain.query_text import normalised_query
from app.engine.engine import RankEngine
from app.engine.open import open_engine
from app.evaluation.intents.demands import Reading, demands_of_intent, demands_of_label, words_of
from app.evaluation.intents.labels import NOW, Half, LabelledQuery, read_labels, read_neutral
from app.evaluation.intents.perfect import intent_of_label
from app.evaluation.intents.scoring import score
from loadtest.runners import local_model
from loadtest.runners.client import Client
from loadtest.runners.intent_catalogues import built
from loadtest.runners.label_endpoint import label_endpoint
from loadtest.runners.services import Service, free_port
from loadtest.scenarios.intents import LABELS

_THREADS: Final = 2
_WAIT_S: Final = 10.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Mended:
    """A query whose parse was weak: errors against its label, before and after it was learned.

    `learned`: whether anything of the model's answer is used.
    """

    label: LabelledQuery
    before: float
    after: float
    learned: bool


@dataclass(frozen=True, slots=True)
class Taught:
    """What a model mended of the weak parses among `n` queries."""

    n: int
    weak: Sequence[Mended]

    def shown(self) -> dict[str, Any]:
        """Return counts and shares as JSON."""
        wrong = [each for each in self.weak if each.before]
        mended = sum(not each.after for each in wrong)
        worse = sum(each.after > each.before for each in self.weak)
        return {
            "queries": self.n,
            "weak": len(self.weak),
            "weak_share": round(len(self.weak) / self.n, 4) if self.n else None,
            "weak_and_wrong": len(wrong),
            "mended": mended,
            "mended_share": round(mended / len(wrong), 4) if wrong else None,
            "better": sum(each.after < each.before for each in self.weak),
            "worse": worse,
            "worse_share": round(worse / len(self.weak), 4) if self.weak else None,
            "learned": sum(each.learned for each in self.weak),
        }


def weak_queries(labels: Sequence[LabelledQuery], engine: RankEngine) -> list[LabelledQuery]:
    """Return the queries of which an engine's parser understands little."""
    now = NOW.timestamp()
    return [each for each in labels if intent_of(_interpreted(engine, each.query, now)).is_weak]


def _interpreted(engine: RankEngine, query: str, now: float) -> str:
    return engine.interpret(query, now, look_up=True) or ""


def taught(  # noqa: PLR0913 - two of them name the model
    weak: Sequence[LabelledQuery],
    engine: RankEngine,
    bundle: Path,
    url: str,
    model: str,
    *,
    neutral: frozenset[str],
    work: Path,
) -> list[Mended]:
    """Serve a bundle with a model, let it learn the weak queries, and compare.

    Args:
        weak: of this catalogue.
        engine: over the same bundle.
        bundle: its folder.
        url: base URL of the model's endpoint.
        model: its name.
        neutral: words that may be left over or not.
        work: a folder for the log and the store.
    """

    def title_of(item_id: str) -> str | None:
        item = engine.item(item_id)
        return None if item is None else item.title

    reading = Reading(engine.info.attributes, title_of, NOW.date(), neutral)

    def errors(label: LabelledQuery, intent: Mapping[str, Any]) -> float:
        wanted = [demands_of_label(each, NOW.date(), neutral) for each in label.intents]
        return score(label, wanted, demands_of_intent(intent, label.query, reading)).errors

    port = free_port()
    name = f"taught-{bundle.name}-{model}"
    command = [sys.executable, "-m", "loadtest.runners.service_at", "--bundle", str(bundle)]
    command += ["--port", str(port), "--now", NOW.isoformat()]
    env = {
        "RECSERVE_DATA_DIR": str(work / name),
        "RECSERVE_LLM_URL": url,
        "RECSERVE_LLM_MODEL": model,
        "RECSERVE_LLM_MIN_CALLERS": "1",
        "RECSERVE_LLM_MAX_PER_MINUTE": "10000",
        "RECSERVE_LLM_TIMEOUT_MS": "120000",
    }
    found = []
    with Service(name, command, port, work / f"{name}.log", env) as service:
        client = Client(port)
        for label in weak:
            client.call("POST", "/recommend", {"query": label.query, "budget_ms": 10_000})
        used = _learned(client, service, len({each.query.casefold() for each in weak}))
        for label in weak:
            before = orjson.loads(_interpreted(engine, label.query, NOW.timestamp()))
            _, after = client.call("POST", "/interpret", {"query": label.query})
            words = normalised_query(label.query).casefold()
            pair = errors(label, before), errors(label, after["intent"])
            found.append(Mended(label, *pair, learned=used.get(words, False)))
        client.close()
    return found


def _learned(client: Client, service: Service, n: int) -> dict[str, bool]:
    """Wait until `n` queries are learned, or nothing happens; words -> whether it is used."""
    page: list[dict[str, Any]] = []
    quiet_since = time.monotonic()
    while len(page) < n and time.monotonic() - quiet_since < _WAIT_S:
        time.sleep(_POLL_S)
        _, answer = client.call("GET", "/admin/intents?limit=1000")
        waiting = service.metric("recserve_llm_calls_in_flight")
        if len(answer["intents"]) > len(page) or waiting:
            quiet_since = time.monotonic()
        page = answer["intents"]
    return {each["words"]: each["intent"] is not None for each in page}


def right_answers(weak: Sequence[LabelledQuery]) -> dict[str, dict[str, Any]]:
    """Return the intents of the labels, by query, as a model says them: items by their titles."""
    return {
        normalised_query(each.query): intent_of_label(each.intents[0], lambda title: [title])
        for each in weak
    }


@contextmanager
def _endpoint(options: argparse.Namespace, weak: Sequence[LabelledQuery]) -> Iterator[str]:
    """Yield the base URL of the model to measure."""
    if options.url:
        yield options.url
    elif options.local:
        server = local_model.server_of(local_model.Model())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
    else:
        with label_endpoint(right_answers(weak)) as url:
            yield url


def main(argv: Sequence[str] | None = None) -> None:
    """Run the scenario."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.scenarios.mending",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--half", choices=("open", "frozen"), default="open")
    parser.add_argument("--catalogue", action="append", help="only this one; may come repeatedly")
    parser.add_argument("--url", help="base URL of an OpenAI-compatible endpoint")
    parser.add_argument("--model", default="labels", help="name of the model at --url")
    parser.add_argument("--local", action="store_true", help="SmolLM2-135M on this machine")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    half: Half = options.half
    model = local_model.NAME if options.local else options.model
    labels = read_labels(LABELS, half)
    neutral = words_of(read_neutral(LABELS))
    names = options.catalogue or list(dict.fromkeys(label.catalogue for label in labels))
    n, found = 0, list[Mended]()
    with tempfile.TemporaryDirectory(prefix="recserve-mending-") as folder:
        work = Path(folder)
        for catalogue in built(names, LABELS, work):
            own = [label for label in labels if label.catalogue == catalogue.name]
            engine = open_engine(catalogue.bundle, _THREADS)
            n, weak = n + len(own), weak_queries(own, engine)
            with _endpoint(options, weak) as url:
                found += taught(
                    weak, engine, catalogue.bundle, url, model, neutral=neutral, work=work
                )
    figures = {"half": half, "model": model, **Taught(n, found).shown()}
    if half == "open":
        for each in found:
            print(f"  {each.label.id} {each.label.query}: errors {each.before:g} -> {each.after:g}")
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
