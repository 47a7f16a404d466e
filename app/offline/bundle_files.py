"""Writing the files of a bundle, one function each: items, words, vectors, signals, learned parts.

This module does not know where the data comes from (`build`), or how a bundle is made durable
(`app.bundle.writer`).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from app.bundle.manifest import FastEncodingFacts, IndexFacts, LearnedFacts
from app.core.errors import EngineError, UsageError
from app.core.ports import Encoder
from app.core.types import Matrix
from app.domain.columns import Column, Floats, prefixed
from app.domain.item_text import TextTemplate
from app.engine.catalogue.behaviour import behaviour_arrays
from app.engine.encoding.encoder import PackedEncoder
from app.engine.encoding.text_vectors import text_vectors
from app.engine.retrieval.codes import named_by
from app.engine.retrieval.index import VectorIndex
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.lexical_arrays import lexical_arrays
from app.engine.scoring.goals import GOALS_FILE
from app.engine.scoring.modes import Mode
from app.offline.encoder.distil import LEAST_TEXTS, MOST_TOKENS, distil
from app.offline.encoder.vector_index import FLAT_ROWS, query_like, write_index
from app.offline.input.judgements import Judgements
from app.offline.input.recipe import Recipe
from app.offline.input.users import Users
from app.offline.learning.negatives import negatives_of
from app.offline.learning.sequences import sequences_of
from app.offline.learning.sides import step_sides_of
from app.offline.learning.signals import (
    EventLog,
    freshness_of,
    popularity_of,
    rated_of,
    trending_of,
    user_arrays,
)
from app.offline.learning.step_goals import step_goals_of
from app.offline.learning.synthetic_queries import QueryWriter

SEED = 0
_BATCH_TEXTS = 128
LEAST_SEARCHED = 100
"""Items from which on the order of queries is learned."""
_MANY_EMPTY = 0.05
"""Share of items without a vector above which a build warns."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Described:
    """What is read of n items: ids, titles, whole texts, and unix seconds, NaN = undated."""

    ids: list[str]
    titles: list[str | None]
    texts: list[str]
    published_at: Floats

    def __len__(self) -> int:
        return len(self.ids)


def describe(columns: Mapping[str, Column], recipe: Recipe) -> Described:
    """Read ids, titles and dates, and render the texts.

    Raises:
        UsageError: the template names a column that is not there.
    """
    rows = range(len(columns["id"]))
    return Described(
        ids=[str(columns["id"].value(row)) for row in rows],
        titles=[_text(columns["title"], row) for row in rows],
        texts=_texts(columns, recipe),
        published_at=columns["published_at"].numbers(),
    )


def _text(column: Column, row: int) -> str | None:
    value = column.value(row)
    return None if value is None else str(value)


def _texts(columns: Mapping[str, Column], recipe: Recipe) -> list[str]:
    """Return the text of each item; a template may use our names, attributes, or mapped columns."""
    template = TextTemplate(recipe.text)
    ours = recipe.items.model_dump(exclude={"path"})
    aliases = {theirs: name for name, theirs in ours.items()} | {name: name for name in columns}
    used: dict[str, Column] = {}
    for name in template.names:
        if name not in aliases:
            known = ", ".join(sorted(columns))
            raise UsageError(f"{recipe.file}: text: there is no column {name!r}; there are {known}")
        used[name] = columns[aliases[name]]
    return [
        template.render({name: column.value(row) for name, column in used.items()}.get)
        for row in range(len(columns["id"]))
    ]


def write_items(folder: Path, arrays: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> None:
    """Write the columns, given as the arrays of each."""
    tensors: dict[str, npt.NDArray[Any]] = {}
    for name, parts in arrays.items():
        tensors |= prefixed(name, parts)
    save_file(tensors, folder / "items.safetensors")


def write_words(folder: Path, items: Described, columns: Mapping[str, Column]) -> None:
    """Write what the words and the codes of the items are found by."""
    fields = [
        column
        for name, column in columns.items()
        if column.kind in {"string", "number"} and name not in {"id", "title", "text"}
    ]
    names = [
        named_by(item_id, [column.value(row) for column in fields])
        for row, item_id in enumerate(items.ids)
    ]
    arrays = lexical_arrays(items.titles, items.texts, names=names)
    save_file(arrays, folder / "words.safetensors")


def write_vectors(path: Path, texts: Sequence[str], encoder: Encoder) -> None:
    """Encode in batches of texts of like length, straight into a mapped float32[n, dim] file.

    The row of a text without a vector is zero (`app.engine.encoding.text_vectors`).

    Raises:
        EngineError: the encoder failed, or its vectors are not of unit length.
    """
    vectors = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float32, shape=(len(texts), encoder.dim)
    )
    order, n_empty = sorted(range(len(texts)), key=lambda row: len(texts[row])), 0
    with tqdm(total=len(texts), desc="encode", unit=" texts", disable=None) as bar:
        for start in range(0, len(order), _BATCH_TEXTS):
            rows = order[start : start + _BATCH_TEXTS]
            batch = text_vectors([texts[row] for row in rows], encoder)
            norms = np.linalg.norm(batch, axis=1)
            if not np.allclose(norms[norms != 0.0], 1.0, atol=1e-3):
                raise EngineError("the encoder returned vectors that are not of unit length")
            vectors[rows] = batch
            n_empty += int(np.count_nonzero(norms == 0.0))
            bar.update(len(rows))
    vectors.flush()
    if n_empty > _MANY_EMPTY * len(texts):
        _log.warning(
            "%d of %d items have no text that the encoder can read: only their words find them",
            n_empty,
            len(texts),
        )


def write_search(folder: Path, texts: Sequence[str], encoder: Encoder) -> IndexFacts:
    """Write an index of the vectors written before, if there are so many that it pays."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    readable = [texts[row] for row in np.flatnonzero(vectors.any(axis=1)).tolist()]
    if len(readable) <= FLAT_ROWS:
        return IndexFacts()
    return write_index(folder, vectors, query_like(readable, encoder, SEED), SEED)


def write_fast_encoding(
    folder: Path, texts: Sequence[str], encoder: Encoder
) -> FastEncodingFacts | None:
    """Write the table of fast encoding; None where there can be none.

    It needs some texts, an encoder of tokens, and a vocabulary that is not too large (`distil`).
    """
    if not isinstance(encoder, PackedEncoder) or len(texts) < LEAST_TEXTS:
        return None
    if encoder.n_tokens > MOST_TOKENS:
        _log.warning(
            "no fast encoding: the vocabulary of the encoder has %d tokens, and %d are the most",
            encoder.n_tokens,
            MOST_TOKENS,
        )
        return None
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    rows = np.flatnonzero(vectors.any(axis=1))
    if len(rows) < LEAST_TEXTS:
        return None
    if len(rows) < len(texts):
        texts, vectors = [texts[row] for row in rows.tolist()], vectors[rows]
    return distil(texts, vectors, encoder, folder, SEED)


def write_signals(folder: Path, items: Described, log: EventLog) -> None:
    """Write what is popular, trending and new, and what is rated well if anything is rated."""
    signals = {
        "popularity": popularity_of(log.item_rows, log.weights, len(items)),
        "trending": trending_of(log.events, log.item_rows, log.weights, len(items)),
        "freshness": freshness_of(items.published_at),
    }
    rated = rated_of(log.item_rows[log.is_rating], log.events.value[log.is_rating], len(items))
    if rated is not None:
        signals["rated"] = rated
    save_file(signals, folder / "signals.safetensors")


def write_users(folder: Path, log: EventLog, users: Users) -> None:
    """Write who took what, and who they are."""
    arrays = user_arrays(
        events=log.events,
        item_rows=log.item_rows,
        weights=log.weights,
        unknown_ids=log.unknown_ids,
        users=users,
    )
    save_file(arrays, folder / "users.safetensors")


def write_learned(  # noqa: PLR0913 - each by its name
    folder: Path,
    items: Described,
    columns: Mapping[str, Column],
    *,
    vectors: Matrix,
    index: VectorIndex,
    encoder: Callable[[], Encoder],
    log: EventLog,
    users: Users,
    judgements: Judgements,
) -> LearnedFacts | None:
    """Learn from the log and the words, and write what came of it; None where nothing did.

    Args:
        folder: of the bundle; the words and the signals are written already.
        items: what is read of the items.
        columns: their fields.
        vectors: float32[n, dim] of their texts, writable.
        index: searches the vectors.
        encoder: opens what made them; it is opened only where the catalogue is large enough.
        log: the events to learn from.
        users: who they are.
        judgements: graded queries to learn from.
    """
    sequences = sequences_of(log.events, log.item_rows, log.weights, len(items))
    if len(judgements) and len(items) < LEAST_SEARCHED:
        _log.warning("judgements are not learned from: fewer than %d items", LEAST_SEARCHED)
    if len(sequences) == 0 and len(items) < LEAST_SEARCHED:
        return None
    # Here, and not above: torch is slow to load, and small catalogues without events need none.
    from app.offline.learning.learn import learn  # noqa: PLC0415
    from app.offline.learning.search_examples import SearchSide  # noqa: PLC0415
    from app.offline.learning.search_log import judged_lists, searches_of  # noqa: PLC0415
    from app.offline.learning.search_queries import Search  # noqa: PLC0415

    search = None
    if len(items) >= LEAST_SEARCHED:
        opened = encoder()
        side = SearchSide(
            words=LexicalIndex(load_file(folder / "words.safetensors")),
            index=index,
            vectors=vectors,
            freshness=load_file(folder / "signals.safetensors")["freshness"],
            encode=lambda texts: text_vectors(texts, opened, "query"),
        )
        writer = QueryWriter(items.titles, items.texts, text_attributes(columns), SEED)
        search = Search(side, writer, searches_of(log, len(items)), judged_lists(judgements))
    learned = learn(
        sequences=sequences,
        negatives=negatives_of(log, len(items)),
        texts=items.texts,
        vectors=vectors,
        seed=SEED,
        search=search,
        sides=step_sides_of(log, users, sequences, len(items)),
        goals=step_goals_of(log, len(items)),
    )
    if learned is None:
        return None
    behaviour = learned.behaviour
    if behaviour is not None:
        save_file(behaviour_arrays(behaviour), folder / "behaviour.safetensors")
    if learned.networks:
        _write_scorer(folder, learned.networks)
    if learned.goals is not None:
        save_file(learned.goals.arrays, folder / GOALS_FILE)
    return LearnedFacts(
        features=dict(learned.features),
        decays={} if behaviour is None else dict(behaviour.decays),
        content_knn_share=learned.content_knn_share,
        metrics={name: round(value, 6) for name, value in learned.metrics.items()},
        notes=learned.notes,
        goals=() if learned.goals is None else learned.goals.names,
    )


def _write_scorer(folder: Path, networks: Mapping[Mode, Mapping[str, npt.NDArray[Any]]]) -> None:
    scorer: dict[str, npt.NDArray[Any]] = {}
    for mode, network in networks.items():
        scorer |= prefixed(mode, network)
    save_file(scorer, folder / "scorer.safetensors")


def text_attributes(
    columns: Mapping[str, Column],
) -> dict[str, list[str | Sequence[str] | None]]:
    """Return the values of the fields that are texts, or lists of texts, by row."""
    texts: dict[str, list[str | Sequence[str] | None]] = {}
    for name, column in columns.items():
        if name in {"id", "title", "text"} or column.kind not in {"string", "strings"}:
            continue
        values = [column.value(row) for row in range(len(column))]
        texts[name] = [each if isinstance(each, str | list | tuple) else None for each in values]
    return texts
