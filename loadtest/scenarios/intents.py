"""How well queries are understood: the labelled set, judged by intents and by results.

    python -m loadtest.scenarios.intents --half open --json docs/results/intent-open.json

It builds the catalogues of tests/data/intent. Then it asks their engines, without a server, what
each query means, and prints precision and recall by field and language. Then it serves each bundle
in a process of its own, at the fixed moment of the labels, sends the queries over HTTP, and prints
the share of answers that meet every demand.

Of the open half it lists what is wrong. The frozen half is printed as totals only, so that nobody
tunes to it.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from app.engine.engine import RankEngine
from app.engine.open import open_engine
from app.evaluation.intents.demands import (
    FIELDS,
    Demands,
    Reading,
    demands_of_intent,
    demands_of_label,
    words_of,
)
from app.evaluation.intents.labels import NOW, Half, LabelledQuery, read_labels, read_neutral
from app.evaluation.intents.perfect import intent_of_label
from app.evaluation.intents.results import Judgement, judge
from app.evaluation.intents.scoring import ALL, QueryScore, ScoreTable, score, table_of
from loadtest.runners.client import Client
from loadtest.runners.intent_catalogues import BuiltCatalogue, built
from loadtest.runners.services import ROOT, Service, free_port

LABELS: Final = ROOT / "tests" / "data" / "intent"

_THREADS: Final = 2
_BUDGET_MS: Final = 10_000
_OK: Final = 200


@dataclass(slots=True)
class Shares:
    """How many answers were judged, and how many meet all, or all firm, demands; by group."""

    judged: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    firm: Counter[str] = field(default_factory=Counter)

    def add(self, label: LabelledQuery, judgement: Judgement) -> None:
        """Count one answer in its groups."""
        for group in (ALL, label.catalogue, label.language):
            self.judged[group] += 1
            self.right[group] += not judgement.all_demands
            self.firm[group] += not judgement.firm_demands

    def shown(self) -> dict[str, Any]:
        """Return counts and shares by group as JSON."""
        return {
            group: {
                "judged": n,
                "all_demands": round(self.right[group] / n, 4),
                "firm_demands": round(self.firm[group] / n, 4),
            }
            for group, n in self.judged.items()
        }


def interpreted(
    labels: Iterable[LabelledQuery], engine: RankEngine, neutral: frozenset[str]
) -> list[QueryScore]:
    """Ask an engine what each query means, and compare it with the label."""

    def title_of(item_id: str) -> str | None:
        item = engine.item(item_id)
        return None if item is None else item.title

    kinds, today = engine.info.attributes, NOW.date()
    reading = Reading(kinds, title_of, today, neutral)
    scores = []
    for label in labels:
        intent = orjson.loads(engine.interpret(label.query, NOW.timestamp(), look_up=True) or "{}")
        wanted = [demands_of_label(each, today, neutral) for each in label.intents]
        scores.append(score(label, wanted, demands_of_intent(intent, label.query, reading)))
    return scores


def answered(
    labels: Iterable[LabelledQuery], catalogue: BuiltCatalogue, log: Path, *, perfect: bool
) -> list[tuple[LabelledQuery, Judgement]]:
    """Serve a catalogue, ask it every query over HTTP, and judge the answers.

    `perfect`: the intent of each label is sent with its query.
    """
    ids = catalogue.judged.ids_of_title
    port = free_port()
    module = "loadtest.runners.service_at"
    command = [sys.executable, "-m", module, "--bundle", str(catalogue.bundle)]
    command += ["--port", str(port), "--now", NOW.isoformat()]
    data = log.parent / f"data-{catalogue.name}"
    env = {"RECSERVE_DATA_DIR": str(data)}
    judged = []
    with Service(catalogue.name, command, port, log, env):
        client = Client(port)
        for label in labels:
            body: dict[str, Any] = {"query": label.query, "budget_ms": _BUDGET_MS}
            if perfect:
                body["intent"] = intent_of_label(label.intents[0], ids)
            status, answer = client.call("POST", "/recommend", body)
            if status != _OK:
                judgement: Judgement | None = Judgement(*[f"status {status}"] * 2)
            else:
                found = [item["id"] for item in answer["items"]]
                judgement = judge(label, catalogue.judged, found)
            if judgement is not None:
                judged.append((label, judgement))
        client.close()
    return judged


def print_table(table: ScoreTable) -> None:
    """Print precision and recall by field and group."""
    groups = table.groups()
    print(f"\n{'':16}" + "".join(f"{f'{each} ({table.queries[each]})':>24}" for each in groups))
    print(f"{'':16}" + f"{'prec.   rec.  wanted':>24}" * len(groups))
    for name in (ALL, *FIELDS):
        tallies = [table.tally(group, name) for group in groups]
        figures = [f"{t.precision:6.3f} {t.recall:6.3f} {t.wanted:7}" for t in tallies]
        print(f"{name:16}" + "".join(f"{each:>24}" for each in figures))
    shares = [table.understood[group] / table.queries[group] for group in groups]
    print(f"{'no error':16}" + "".join(f"{share:>24.3f}" for share in shares))


def print_misread(scores: Iterable[QueryScore]) -> None:
    """List the queries whose intent differs from the label, with the fields that differ."""
    for each in scores:
        if each.errors:
            print(f"  {each.label.id} {each.label.query}")
            for name in FIELDS:
                if each.tallies[name].errors:
                    print(f"       {name}: {_shown(each.found, name)}, not", end=" ")
                    print(_shown(each.wanted, name))


def print_shares(shares: Shares) -> None:
    """Print which share of the answers meets all demands, by catalogue and language."""
    print(f"\n{'answers':16}{'judged':>10}{'all demands':>16}{'firm demands':>16}")
    for group, row in shares.shown().items():
        figures = f"{row['all_demands']:>16.3f}{row['firm_demands']:>16.3f}"
        print(f"{group:16}{row['judged']:>10}{figures}")


def report(
    half: Half, scores: Sequence[QueryScore], judged: Sequence[tuple[LabelledQuery, Judgement]]
) -> dict[str, Any]:
    """Print everything that may be shown of a half, and return the totals as JSON."""
    table, shares = table_of(scores), Shares()
    for label, judgement in judged:
        shares.add(label, judgement)
    print_table(table)
    if half == "open":
        print("\nread otherwise than labelled:")
        print_misread(scores)
    print_shares(shares)
    if half == "open":
        print("\nanswers that miss a demand:")
        for label, judgement in judged:
            if judgement.all_demands:
                print(f"  {label.id} {label.query}: {judgement.all_demands}")
    return {"half": half, "intents": table.shown(), "answers": shares.shown()}


def _shown(demands: Demands, name: str) -> str:
    return ", ".join(sorted(map(_text, demands.of(name)))) or "nothing"


def _text(demand: object) -> str:
    if isinstance(demand, tuple):
        return " ".join("–" if part is None else str(part) for part in demand)
    return str(demand)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the scenario."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.scenarios.intents",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--half", choices=("open", "frozen"), default="open")
    parser.add_argument("--labels", type=Path, default=LABELS, metavar="DIR")
    parser.add_argument("--catalogue", action="append", help="only this one; may come repeatedly")
    parser.add_argument("--no-results", action="store_true", help="judge the intents only")
    parser.add_argument(
        "--perfect", action="store_true", help="send the intents of the labels over HTTP"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    labels = read_labels(options.labels, options.half)
    names = options.catalogue or list(dict.fromkeys(label.catalogue for label in labels))
    neutral = words_of(read_neutral(options.labels))
    scores: list[QueryScore] = []
    judged: list[tuple[LabelledQuery, Judgement]] = []
    with tempfile.TemporaryDirectory(prefix="recserve-intents-") as folder:
        work = Path(folder)
        for catalogue in built(names, options.labels, work):
            own = [label for label in labels if label.catalogue == catalogue.name]
            scores += interpreted(own, open_engine(catalogue.bundle, _THREADS), neutral)
            if not options.no_results:
                log = work / f"{catalogue.name}.log"
                judged += answered(own, catalogue, log, perfect=options.perfect)
    figures = report(options.half, scores, judged)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
