"""Rows of zeros, the items without a vector: no index brings them, however few others there are."""

import faiss
import numpy as np
import pytest

from app.engine.kernels.topk import topk_over
from app.engine.retrieval.gpu_index import DeviceIndex
from app.engine.retrieval.index import INDEX_FILE, EmptyRows, FlatIndex, ListIndex
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.retrieval.sources import MeaningSource
from app.offline.bundle_files import write_vectors
from app.offline.encoder.vector_index import nearest, write_index
from app.testing.encoder import HashEncoder

N, DIM = 1200, 16
EMPTY = np.array([0, 5, 6, 700, N - 1])


def vectors_with_zeros(seed=0):
    """Unit rows that all lie on one side, so that an opposite probe has negative cosines."""
    rows = np.random.default_rng(seed).random((N, DIM)).astype(np.float32) + 0.1
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[EMPTY] = 0.0
    return rows


def built(folder, vectors):
    """Lists that a build would write."""
    probes = HashEncoder(DIM).encode(["a", "b"])
    facts = write_index(folder, vectors, probes, 0)
    return ListIndex.open(folder / INDEX_FILE, vectors, max(facts.probes, 64), 1)


@pytest.fixture(params=["flat", "lists", "device"])
def over(request, tmp_path):
    if request.param == "flat":
        return FlatIndex
    if request.param == "device":
        return lambda vectors: DeviceIndex(vectors, "cpu")
    return lambda vectors: built(tmp_path, vectors)


def test_no_probe_brings_an_empty_row(over):
    vectors = vectors_with_zeros()
    opposite = -vectors[3:4]

    scores, rows = over(vectors).search(opposite, 100)
    assert scores.max() < 0.0, "an empty row would be first, with 0"
    assert not np.isin(rows, EMPTY).any()
    assert (rows >= 0).all()


@pytest.mark.parametrize("share", [0.05, 0.9])
def test_a_filter_does_not_let_them_through(over, share):
    vectors = vectors_with_zeros()
    blocked = np.random.default_rng(1).random(N) >= share
    blocked[EMPTY] = False

    scores, rows = over(vectors).search(-vectors[3:5], 60, blocked)
    assert not np.isin(rows, EMPTY).any()
    assert not blocked[rows[rows >= 0]].any()
    assert np.array_equal(rows < 0, np.isneginf(scores))


def test_where_nothing_but_empty_rows_passes_nothing_is_found(over):
    vectors = vectors_with_zeros()
    blocked = np.ones(N, np.bool_)
    blocked[EMPTY] = False

    scores, rows = over(vectors).search(vectors[3:4], 10, blocked)
    assert (rows == -1).all()
    assert np.isneginf(scores).all()


def test_rows_lose_and_get_vectors_while_serving(over):
    vectors = vectors_with_zeros()
    index = over(vectors)
    vectors[9], vectors[5] = 0.0, vectors[10]
    index.put(np.array([5, 9]))

    _, rows = index.search(vectors[5:6], N)
    assert {5, 10} <= set(rows[0].tolist())
    assert 9 not in rows
    assert 9 not in index.search(-vectors[3:4], 50)[1]


def test_new_free_rows_are_empty(over):
    vectors = vectors_with_zeros()
    grown = np.concatenate([vectors, np.zeros((30, DIM), np.float32)])
    wider = over(vectors).over(grown)
    grown[N] = vectors[3]
    wider.put(np.array([N]))

    _, rows = wider.search(-vectors[3:4], N + 30)
    assert rows.max() <= N
    assert wider.empty.mask.tolist() == [
        row in {*EMPTY, *range(N + 1, N + 30)} for row in range(N + 30)
    ]


def test_a_merge_leaves_them_out(tmp_path):
    vectors = vectors_with_zeros()
    index = built(tmp_path, vectors)
    vectors[100:1190] = vectors_with_zeros(seed=1)[100:1190]
    vectors[110:120] = 0.0
    index.put(np.arange(100, 1190))
    use = index.merge()
    assert use is not None
    use()

    empty = [*EMPTY, *range(110, 120)]
    assert index._index.ntotal == N - len(empty)
    for probe in (-vectors[3:4], vectors[3:4]):
        assert not np.isin(index.search(probe, 300)[1], empty).any()


def test_the_lists_of_a_build_are_without_them(tmp_path):
    vectors = vectors_with_zeros()
    built(tmp_path, vectors)
    assert faiss.read_index(str(tmp_path / INDEX_FILE)).ntotal == N - len(EMPTY)
    assert not np.isin(nearest(vectors, -vectors[3:4], N - len(EMPTY)), EMPTY).any()


def test_meaning_over_known_cosines_leaves_them_out():
    vectors = vectors_with_zeros()
    index, probe = FlatIndex(vectors), -vectors[3]
    (cosines,) = index.cosines(probe[None])
    blocked = np.zeros(N, np.bool_)
    blocked[:50] = True
    requests = [
        ResolvedRequest(query_vector=probe, cosines=cosines),
        ResolvedRequest(query_vector=probe, cosines=cosines, blocked=blocked),
    ]

    plain, filtered = MeaningSource("meaning", index, topk_over(N)).search(requests)
    assert plain is not None
    assert filtered is not None
    assert not np.isin(plain.rows, EMPTY).any()
    assert not np.isin(filtered.rows, [*EMPTY, *range(50)]).any()
    assert len(plain.rows) == len(filtered.rows) == 200


def test_a_vector_that_begins_with_zeros_is_not_empty():
    vectors = np.eye(12, dtype=np.float32)
    vectors[4] = 0.0
    assert np.flatnonzero(EmptyRows(vectors).mask).tolist() == [4]
    assert EmptyRows(np.eye(12, dtype=np.float32)).or_blocked(None) is None


@pytest.mark.parametrize(("mute", "warns"), [(0, False), (5, False), (6, True), (100, True)])
def test_a_build_warns_of_many_items_without_a_vector(tmp_path, caplog, mute, warns):
    texts = ["…"] * mute + [f"thing {n}" for n in range(100 - mute)]
    write_vectors(tmp_path / "vectors.npy", texts, HashEncoder(DIM))

    norms = np.linalg.norm(np.load(tmp_path / "vectors.npy"), axis=1)
    assert norms.round(5).tolist() == [0.0] * mute + [1.0] * (100 - mute)
    expected = f"{mute} of 100 items have no text that the encoder can read"
    assert (expected in caplog.text) == warns
