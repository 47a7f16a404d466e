"""Whether `recserve enrich` pays with a model: the order of products for graded queries.

    python -m loadtest.scenarios.enriched --local --queries 6           # SmolLM2 on this machine
    python -m loadtest.scenarios.enriched --url URL --model NAME --queries 50

The products of some queries of CrowdFlower's set (`$RECSERVE_SHARED/data/crowdflower-search`) are
enriched and built into bundles, with and without the new columns in the text. Each engine ranks the
products of each query. The figure is the mean NDCG@10.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from app.core.ranking import RankRequest
from app.domain.intent import INTENT_OFF
from app.engine.open import open_engine
from app.evaluation.dataset_readers import read_pairs
from app.language_model.endpoint import HttpLanguageModel
from app.offline.build import build
from app.offline.enrichment.enrich import Enrichment, EnrichOptions
from app.offline.enrichment.item_file import ItemFiles
from app.offline.input.recipe import Recipe
from app.offline.metrics.ranking import gain_of, graded_ndcg_at
from loadtest.runners import local_model

Grades = Mapping[str, Mapping[str, float]]
"""Query -> product -> grade."""

DATA: Final = Path(os.environ.get("RECSERVE_SHARED", "../shared")) / "data" / "crowdflower-search"
TEXTS: Final = {
    "without": "{title}. {text}",
    "queries and keywords": "{title}. {text}. {likely_queries}. {keywords}",
    "all four": "{title}. {text}. {likely_queries}. {tone}. {audience}. {keywords}",
}
_PER_QUERY: Final = 14
_FEWEST: Final = 12
_GRADES: Final = 3
_K: Final = 10
_TIMEOUT_S: Final = 600.0


def chosen(grades: Grades, n: int) -> dict[str, dict[str, float]]:
    """Return `n` queries with 12 to 14 products each, of at least three grades; always the same."""

    def order(text: str) -> int:
        return zlib.crc32(text.encode())

    some = {}
    for query in sorted(grades, key=order):
        products = grades[query]
        few = {each: products[each] for each in sorted(products, key=order)[:_PER_QUERY]}
        if len(few) >= _FEWEST and len(set(few.values())) >= _GRADES:
            some[query] = few
    return dict(list(some.items())[:n])


def ndcg(bundle: Path, grades: Grades) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return float64[queries]: NDCG@10 of the products of each query, ranked by an engine."""
    engine = open_engine(bundle, 1)
    values = []
    for query, products in grades.items():
        asked = RankRequest(
            query=query, candidates=tuple(products), k=len(products), intent=INTENT_OFF
        )
        scores = {item.id: item.score for item in engine.rank([asked]).results[0].items}
        gains = np.array([gain_of(grade) for grade in products.values()])
        ranked = np.array([scores[each] for each in products])
        values.append(graded_ndcg_at(ranked, gains, gains, _K))
    return np.array(values)


def compared(items: Path, grades: Grades, work: Path) -> dict[str, Any]:
    """Build bundles of enriched items with each of `TEXTS`, and return what they reach."""
    reached = {}
    for name, text in TEXTS.items():
        bundle = work / "models" / name.replace(" ", "-")
        build(items, None, Recipe(text=text), bundle, learning=False)
        reached[name] = ndcg(bundle, grades)
    plain = reached["without"]
    return {
        name: {
            "ndcg@10": round(float(values.mean()), 4),
            "difference": round(float((values - plain).mean()), 4),
            "better": int((values > plain + 1e-9).sum()),
            "worse": int((values < plain - 1e-9).sum()),
        }
        for name, values in reached.items()
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the scenario."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.scenarios.enriched",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--local", action="store_true", help="SmolLM2-135M on this machine")
    where.add_argument("--url", help="base URL of an OpenAI-compatible endpoint")
    parser.add_argument("--model", default="default", help="name of the model at --url")
    parser.add_argument("--queries", type=int, default=6)
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args(argv)
    url, name = options.url, options.model
    if options.local:
        server = local_model.server_of(local_model.Model())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url, name = f"http://127.0.0.1:{server.server_port}/v1", local_model.NAME
    catalogue, judged = read_pairs(DATA, 0)
    grades = chosen(judged, options.queries)
    wanted = {product for products in grades.values() for product in products}
    if not isinstance(catalogue.source, list):
        raise TypeError("the set holds its products as rows")
    rows = [row for row in catalogue.source if row["id"] in wanted]
    with tempfile.TemporaryDirectory(prefix="recserve-enriched-") as folder:
        work = Path(folder)
        plain, enriched = work / "items.jsonl", work / "enriched.jsonl"
        plain.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        print(asyncio.run(_enriched(ItemFiles(plain, enriched, "id"), url, name, options.batch)))
        shown = compared(enriched, grades, work)
    print(json.dumps({"model": name, "queries": len(grades), "items": len(rows)} | shown, indent=1))


async def _enriched(files: ItemFiles, url: str, name: str, batch: int) -> str:
    model = HttpLanguageModel(url, name, None, _TIMEOUT_S)

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    try:
        return await Enrichment(files, model, name, EnrichOptions(batch), say).run()
    finally:
        await model.aclose()


if __name__ == "__main__":
    main()
