"""Search by lists against the exact search, and what a large catalogue is built with."""

import faiss
import numpy as np
import pytest
import torch

from app.bundle.manifest import BundleFacts, EncoderFacts, IndexFacts
from app.bundle.reader import load_vectors
from app.bundle.writer import write_bundle
from app.core.errors import BundleError, DeviceError
from app.engine.encoding.device import require
from app.engine.open import index_of
from app.engine.retrieval.gpu_index import DeviceIndex
from app.engine.retrieval.index import INDEX_FILE, FlatIndex, ListIndex
from app.offline.encoder.vector_index import LEAST_RECALL, query_like, write_index
from app.testing.encoder import HashEncoder

N, DIM = 4000, 32


def unit(rng, n):
    """Vectors in 40 loose groups, as texts are: lists pay only where there are some."""
    centres = rng.standard_normal((40, DIM))
    found = centres[rng.integers(0, 40, n)] + 0.6 * rng.standard_normal((n, DIM))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def vectors():
    return unit(np.random.default_rng(0), N)


@pytest.fixture(scope="module")
def probes():
    return unit(np.random.default_rng(1), 64)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, vectors, probes):
    def fill(folder):
        np.save(folder / "vectors.npy", vectors)
        return BundleFacts(
            encoder=EncoderFacts(id="none", dim=DIM),
            index=write_index(folder, vectors, probes, 0),
            n_items=N,
            n_users=0,
            n_events=0,
            attributes={},
            word_cutting_version=1,
            features_version=1,
        )

    return write_bundle(tmp_path_factory.mktemp("index") / "wide", fill)


def opened(bundle):
    return index_of(bundle, load_vectors(bundle), 1)


@pytest.fixture(params=["lists", "cpu", "cuda"])
def over(request, bundle):
    """Opens an index over vectors: the lists, or a device that takes their place."""
    if request.param == "lists":
        return lambda vectors: ListIndex.open(bundle.path / INDEX_FILE, vectors, 60, 1)
    try:
        require(request.param)
    except DeviceError as why:
        pytest.skip(str(why))
    return lambda vectors: DeviceIndex(vectors, request.param)


def test_the_recall_in_the_manifest_is_the_one_that_is_served(bundle, vectors):
    facts, others = bundle.manifest.index, unit(np.random.default_rng(2), 64)
    assert facts.kind == "lists"
    assert LEAST_RECALL <= facts.recall <= 1.0
    assert 4 <= facts.probes < 4 * N**0.5, "it does not read everything"
    _, exact = FlatIndex(vectors).search(others, 200)
    _, found = opened(bundle).search(others, 200)
    shares = [np.isin(best, rows).mean() for best, rows in zip(exact, found, strict=True)]
    assert np.mean(shares) > LEAST_RECALL - 0.02


def test_scores_are_exact_and_in_order(over, vectors, probes):
    scores, rows = over(vectors).search(probes[:3], 50)
    assert scores.shape == rows.shape == (3, 50)
    np.testing.assert_allclose(
        scores, np.einsum("pnd,pd->pn", vectors[rows], probes[:3]), rtol=1e-5
    )
    assert (np.diff(scores, axis=1) <= 0).all()


def test_a_probe_finds_itself_and_no_row_twice(over, vectors):
    _, rows = over(vectors).search(vectors[[5, 77]], 100)
    assert rows[:, 0].tolist() == [5, 77]
    assert all(len(set(found)) == 100 for found in rows.tolist())


def test_what_the_lists_do_not_hold_is_marked(bundle, vectors, probes):
    narrow = ListIndex.open(bundle.path / INDEX_FILE, vectors, 1, 1)
    scores, rows = narrow.search(probes[:1], N)
    missing = rows[0] < 0
    assert 0 < missing.sum() < N
    assert (scores[0][missing] == -np.inf).all()
    assert not missing[: N - missing.sum()].any(), "they stand last"


def test_a_row_that_was_put_is_found_where_it_is_now(over, vectors):
    mine = vectors.copy()
    index = over(mine)
    mine[7] = -vectors[7]
    index.put(np.array([7]))
    assert index.search(mine[7:8], 1)[1][0, 0] == 7
    assert 7 not in index.search(vectors[7:8], 50)[1]


def test_more_rows_are_found_once_they_were_put(over, vectors):
    index = over(vectors)
    grown = np.concatenate([vectors, np.zeros((70, DIM), np.float32)])
    wider = index.over(grown)
    grown[N : N + 2] = unit(np.random.default_rng(5), 2)
    wider.put(np.arange(N, N + 2))
    assert (len(index), len(wider)) == (N, N + 70)
    assert wider.search(grown[N : N + 2], 10)[1][:, 0].tolist() == [N, N + 1]
    assert wider.search(vectors[3:4], 10)[1][0, 0] == 3
    assert index.search(grown[N : N + 1], 10)[1].max() < N, "the one before is as it was"


@pytest.mark.parametrize("share", [0.9, 0.2, 0.005, 0.0])
def test_what_is_blocked_is_not_found_and_fills_no_place(over, vectors, probes, share):
    blocked = np.random.default_rng(4).random(N) >= share
    scores, rows = over(vectors).search(probes, 50, blocked)
    assert len(rows) == 64
    assert rows.shape[1] <= 50
    assert not blocked[rows[rows >= 0]].any()
    assert np.array_equal(rows < 0, np.isneginf(scores))
    found = (rows >= 0).sum(axis=1)
    assert (found >= 0.9 * min(50, np.count_nonzero(~blocked))).all()


def test_more_than_there_is_may_be_asked_for(over, vectors, probes):
    scores, rows = over(vectors).search(probes[:2], N + 5)
    assert scores.shape == rows.shape == (2, N)


@pytest.mark.parametrize("n", [1, 20, 200])
def test_a_device_finds_what_the_exact_search_finds(over, vectors, n):
    index, probes = over(vectors), unit(np.random.default_rng(2), 64)
    if isinstance(index, ListIndex):
        pytest.skip("lists are not exact")
    exact, found = FlatIndex(vectors).search(probes, n), index.search(probes, n)
    np.testing.assert_allclose(found[0], exact[0], rtol=1e-5, atol=1e-6)
    assert np.mean(found[1] == exact[1]) > 0.999  # equal scores may change places


def index_of_older_bundles(path, vectors):
    """Lists of 8-bit numbers, one by one."""
    lists = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(DIM), DIM, 60, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    lists.train(vectors)
    lists.add(vectors)
    faiss.write_index(lists, str(path))
    return path


@pytest.mark.parametrize("built", ["now", "before"])
def test_what_was_merged_is_found_by_the_lists_alone(bundle, vectors, built, tmp_path):
    mine = vectors.copy()
    path = bundle.path / INDEX_FILE
    if built == "before":
        path = index_of_older_bundles(tmp_path / INDEX_FILE, vectors)
    index = ListIndex.open(path, mine, N, 1)
    rows = np.random.default_rng(6).permutation(N)[:1500]
    mine[rows] = unit(np.random.default_rng(7), len(rows))
    index.put(rows)
    use = index.merge()
    assert use is not None
    use()
    assert index.merge() is None, "nothing is left to merge"
    _, found = index.search(mine, 20)
    _, exact = FlatIndex(mine).search(mine, 20)
    kept = np.array([np.isin(a, b).mean() for a, b in zip(exact, found, strict=True)])
    assert found[:, 0].tolist() == list(range(N))
    assert kept[rows].mean() > 0.99
    assert np.delete(kept, rows).mean() > 0.99


def test_a_device_neither_merges_nor_scores_everything(vectors, probes):
    index = DeviceIndex(vectors, "cpu")
    index.put(np.arange(N))
    assert index.merge() is None
    assert index.cosines(probes) is None


def test_the_vectors_of_a_bundle_may_be_read_only(bundle):
    mapped = np.asarray(load_vectors(bundle))
    assert not mapped.flags.writeable
    assert DeviceIndex(mapped, "cpu").search(mapped[9:10], 1)[1].tolist() == [[9]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
def test_on_a_gpu_the_device_takes_the_place_of_the_lists(bundle):
    assert index_of(bundle, load_vectors(bundle), 1, "cuda").kind == "device"


def test_an_index_over_other_vectors_is_refused(bundle, vectors):
    with pytest.raises(BundleError, match="does not fit"):
        ListIndex.open(bundle.path / INDEX_FILE, vectors[:-1], 4, 1)


@pytest.mark.parametrize("number", [2_000_000_000, -1, N])
def test_an_index_that_names_rows_outside_is_refused(bundle, vectors, tmp_path, number):
    index = faiss.read_index(str(bundle.path / INDEX_FILE))
    lists = faiss.downcast_InvertedLists(index.invlists)
    faiss.rev_swig_ptr(lists.get_ids(3), lists.list_size(3))[1] = number
    faiss.write_index(index, str(tmp_path / "odd.faiss"))
    with pytest.raises(BundleError, match="does not fit"):
        ListIndex.open(tmp_path / "odd.faiss", vectors, 4, 1)


def test_an_index_that_names_a_row_twice_is_refused(bundle, vectors, tmp_path):
    index = faiss.read_index(str(bundle.path / INDEX_FILE))
    lists = faiss.downcast_InvertedLists(index.invlists)
    rows = faiss.rev_swig_ptr(lists.get_ids(3), lists.list_size(3))
    rows[0] = rows[1]
    faiss.write_index(index, str(tmp_path / "odd.faiss"))
    with pytest.raises(BundleError, match="does not fit"):
        ListIndex.open(tmp_path / "odd.faiss", vectors, 4, 1)


@pytest.mark.parametrize("at", [4, 8])  # of the length of a vector, of their number
def test_an_index_whose_parts_disagree_is_refused(bundle, vectors, tmp_path, at):
    content = bytearray((bundle.path / INDEX_FILE).read_bytes())
    content[at] ^= 64
    (tmp_path / "odd.faiss").write_bytes(content)
    with pytest.raises(BundleError):
        ListIndex.open(tmp_path / "odd.faiss", vectors, 4, 1)


@pytest.mark.parametrize("bytes_put", [b"\xff" * 8, b"\x01", (1 << 40).to_bytes(8, "little")])
def test_an_index_with_another_header_is_refused_or_means_the_same(
    bundle, vectors, probes, tmp_path, bytes_put
):
    """Each place of the headers of the index, of its centroids, its codes and its lists."""
    right = (bundle.path / INDEX_FILE).read_bytes()
    index = faiss.read_index(str(bundle.path / INDEX_FILE))
    centroids = faiss.downcast_index(index.quantizer).get_xb()
    first = right.find(faiss.rev_swig_ptr(centroids, 8).tobytes())
    codes = right.find(faiss.vector_to_array(index.pq.centroids)[:8].tobytes())
    lists = right.find(b"ilbl")
    places = [*range(4, first), *range(codes - 80, codes), *range(lists, lists + 60)]
    opened, wanted = ListIndex.open(bundle.path / INDEX_FILE, vectors, 4, 1), 0
    expected = opened.search(probes[:3], 5)[1]
    for at in places:
        content = bytearray(right)
        content[at : at + len(bytes_put)] = bytes_put
        (tmp_path / "odd.faiss").write_bytes(content)
        try:
            odd = ListIndex.open(tmp_path / "odd.faiss", vectors, 4, 1)
        except BundleError:
            wanted += 1
        else:
            assert np.array_equal(odd.search(probes[:3], 5)[1], expected), at
    assert wanted > 60


def test_no_list_is_searched_of_an_index_without_probes(bundle, vectors):
    with pytest.raises(BundleError, match="does not fit"):
        ListIndex.open(bundle.path / INDEX_FILE, vectors, 0, 1)


def test_a_file_that_is_no_index_is_refused(tmp_path, vectors):
    (tmp_path / "odd.faiss").write_bytes(b"not an index")
    with pytest.raises(BundleError, match="cannot be read"):
        ListIndex.open(tmp_path / "odd.faiss", vectors, 4, 1)


def test_a_small_catalogue_is_searched_exactly(tmp_path, vectors):
    def fill(folder):
        np.save(folder / "vectors.npy", vectors)
        facts = EncoderFacts(id="none", dim=DIM)
        return BundleFacts(
            encoder=facts,
            n_items=N,
            n_users=0,
            n_events=0,
            attributes={},
            word_cutting_version=1,
            features_version=1,
        )

    bundle = write_bundle(tmp_path / "small", fill)
    assert bundle.manifest.index == IndexFacts()
    assert isinstance(opened(bundle), FlatIndex)


def test_probes_are_short_runs_of_the_texts():
    class Recorder(HashEncoder):
        def encode(self, texts, role="item"):
            self.seen = list(texts)
            return super().encode(texts, role)

    encoder = Recorder()
    texts = ["one two three four five six", "seven"]
    assert len(query_like(texts, encoder, 0)) == len(encoder.seen) == 256
    assert all(run in texts[0] or run == "seven" for run in encoder.seen)
    assert {len(run.split()) for run in encoder.seen} == {1, 2, 3, 4}


def test_what_was_put_is_merged_into_the_lists(vectors):
    rng = np.random.default_rng(3)
    grown = np.concatenate([vectors, unit(rng, 900)])
    index = _lists(vectors).over(grown)
    index.put(np.arange(N, N + 900))
    assert index.merge() is None, "so few are scored for every probe"
    grown[:200] = unit(rng, 200)
    index.put(np.arange(100))
    index.put(np.arange(50, 200))
    probes = unit(rng, 64)
    before = index.search(probes, 50)
    use = index.merge()
    assert use is not None
    assert np.array_equal(index.search(probes, 50)[1], before[1]), "nothing is swapped yet"
    use()
    assert index.merge() is None

    scores, rows = index.search(probes, 50)
    assert all(len(set(found)) == 50 for found in rows.tolist())
    assert np.allclose(scores, np.einsum("pnd,pd->pn", grown[rows], probes), atol=1e-5)
    _, exact = FlatIndex(grown).search(probes, 50)
    pairs = zip(rows.tolist(), exact.tolist(), strict=True)
    assert np.mean([len({*a} & {*b}) / 50 for a, b in pairs]) > 0.9
    assert {*rows[rows < 200]}, "those that moved are found where they are now"
    assert {*rows[rows >= N]}


def test_a_row_that_is_put_again_after_a_merge_is_found_where_it_is(vectors):
    grown = vectors.copy()
    index = _lists(vectors).over(grown)
    index.put(np.arange(1000))
    use = index.merge()
    assert use is not None
    use()
    grown[7] = -vectors[7]
    index.put(np.array([7]))
    assert index.search(grown[7:8], 1)[1][0, 0] == 7
    assert 7 not in index.search(vectors[7:8], 50)[1]


def _lists(vectors):
    quantised = faiss.index_factory(DIM, "IVF32,SQ8", faiss.METRIC_INNER_PRODUCT)
    quantised.train(vectors)
    quantised.add(vectors)
    return ListIndex(quantised, vectors, 16, 1)
