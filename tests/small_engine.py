"""A small catalogue and an engine over it, without a model: what several suites are run on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from app.core.ports import Encoder
from app.core.types import EngineInfo, JsonValue
from app.domain.columns import Kind, decode_column, encode_column
from app.engine.catalogue.catalogue import Catalogue
from app.engine.encoding.text_vectors import text_vectors
from app.engine.engine import RankEngine
from app.engine.interpretation import Parser
from app.engine.parts import TextParts, assemble
from app.engine.retrieval.index import FlatIndex
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.lexical_arrays import lexical_arrays
from app.offline.learning.signals import freshness_of
from app.testing.encoder import HashEncoder

TITLES = {
    "alien": "alien space horror",
    "star": "star space adventure",
    "robot": "robot space adventure",
    "heist": "bank heist crime",
    "mob": "mob crime drama",
    "love": "love story drama",
    "ghost": None,
}
YEARS = {"alien": 1979.0, "star": 1977.0, "robot": 2020.0, "heist": 1995.0, "mob": 1990.0}
ATTRIBUTES = {"categories": "strings", "year": "number"}


def render(value_of: Callable[[str], JsonValue]) -> str:
    """The text of a film is its title."""
    return str(value_of("title") or "")


def small_engine(
    popularity: dict[str, float] | None = None,
    copies: int = 0,
    *,
    trending: Mapping[str, float] | None = None,
    titles: dict[str, str | None] = TITLES,
    encoder: Encoder | None = None,
    extra: Mapping[str, tuple[Kind, Sequence[JsonValue]]] | None = None,
    roles: Mapping[str, str] | None = None,
    parser: Parser | None = None,
    render: Callable[[Callable[[str], JsonValue]], str] = render,
) -> RankEngine:
    """An engine over seven films (one without title); `copies` adds as many dull items.

    `extra`: more columns, as kind and values. `render`: the text of a changed or surveyed item.
    """
    titles = titles | {f"dull{n}": f"dull number {n}" for n in range(copies)}
    columns = {
        "id": ("string", list(titles)),
        "title": ("string", list(titles.values())),
        "categories": ("strings", [title.split() if title else None for title in titles.values()]),
        "year": ("number", [YEARS.get(name) for name in titles]),
        **(extra or {}),
    }
    attributes = ATTRIBUTES | {name: kind for name, (kind, _) in (extra or {}).items()}
    catalogue = Catalogue(
        {
            name: decode_column(kind, encode_column(kind, values))
            for name, (kind, values) in columns.items()
        },
        attributes,
    )
    encoder = encoder or HashEncoder()
    texts = [title or "" for title in titles.values()]
    vectors = text_vectors(texts, encoder)
    shares = np.array([(popularity or {}).get(name, 0.0) for name in titles], np.float32)
    lately = np.array([(trending or {}).get(name, 0.0) for name in titles], np.float32)
    years = np.array([YEARS.get(name, np.nan) for name in titles])
    signals = {
        "popularity": shares,
        "trending": lately,
        "freshness": freshness_of(years),
    }
    names = [[name] for name in titles]
    words = LexicalIndex(lexical_arrays(list(titles.values()), texts, names=names))
    texts_found = TextParts(vectors, FlatIndex(vectors), words, render)
    parts = replace(
        assemble(catalogue, encoder, texts_found, signals), roles=roles or {}, parser=parser
    )
    info = EngineInfo(
        bundle="g1",
        bundle_name="small",
        catalogue=0,
        n_items=len(titles),
        n_users=0,
        n_events=0,
        dim=encoder.dim,
        encoder=encoder.id,
        index="flat",
        scorer="blend",
        attributes=attributes,
    )
    return RankEngine(parts, info)
