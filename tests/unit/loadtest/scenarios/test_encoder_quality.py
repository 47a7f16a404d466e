"""What is said about vectors: how near they are, and what is kept of an order people judged."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from loadtest.reports.encoder import _kept
from loadtest.scenarios.encoder_quality import PAIRS, fidelity, graded, ndcg, ranking, read_graded

TITLES = {"a": "best", "b": "good", "c": "bad"}
GRADES = {"red": {"a": 4.0, "b": 3.0, "c": 1.0}, "blue": {"c": 2.0}}
ANGLES = {"red": 0.0, "blue": 0.0, "best": 0.1, "good": 0.2, "bad": 0.3}
#: Gains 7, 3 and 0, and the best product behind the good one.
SWAPPED = (3 + 7 / np.log2(3)) / (7 + 3 / np.log2(3))


def encode(texts: Sequence[str]) -> np.ndarray:
    turned = np.array([ANGLES[text] for text in texts])
    return np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)


def confused(texts: Sequence[str]) -> np.ndarray:
    """It takes the best product for the good one, and the other way round."""
    return encode([{"best": "good", "good": "best"}.get(text, text) for text in texts])


def test_a_query_is_ranked_against_the_titles_judged_for_it_alone() -> None:
    found = graded(["red", "blue"], GRADES, TITLES, of_queries=9)

    assert found.titles == ["bad", "best", "good"]
    assert found.judged == [{1: 7.0, 2: 3.0, 0: 0.0}, {0: 1.0}]
    assert ndcg(encode, found) == 1.0
    assert ndcg(confused, found) == pytest.approx((SWAPPED + 1) / 2)


def test_what_is_kept_is_a_share_of_the_original() -> None:
    found = ranking(encode, {"avx2": confused}, graded(["red"], GRADES, TITLES, of_queries=2))

    assert found["ndcg@10"]["sentence-transformers"] == 1.0
    assert found["kept"]["avx2"] == pytest.approx(SWAPPED, abs=1e-6)
    assert _kept(found) == (
        "NDCG@10 kept on the graded set, 1 of 2 queries and 3 titles (float32: 1.0000). "
        f"recserve, kernel by AVX2: {SWAPPED:.2%}."
    )
    assert _kept(None) == "NDCG@10 kept on the graded set: not measured."


def test_queries_are_drawn_by_the_seed_and_keep_all_their_titles(tmp_path: Path) -> None:
    assert read_graded(tmp_path, 2, 7) is None

    (tmp_path / PAIRS).mkdir(parents=True)
    rows = [f"{q},query {q},title {q} {n},,{n + 1}" for q in range(20) for n in range(3)]
    head = "id,query,product_title,product_description,median_relevance"
    (tmp_path / PAIRS / "pairs.csv").write_text("\n".join([head, *rows]) + "\n")
    found = read_graded(tmp_path, 5, 7)

    assert found == read_graded(tmp_path, 5, 7) != read_graded(tmp_path, 5, 8)
    assert (len(found.queries), len(found.titles), found.of_queries) == (5, 15, 20)
    for query, judged in zip(found.queries, found.judged, strict=True):
        number = query.split()[1]
        named = {found.titles[row]: gain for row, gain in judged.items()}
        assert named == {f"title {number} {n}": gain for n, gain in enumerate((0.0, 1.0, 3.0))}
    assert len(read_graded(tmp_path, 99, 7).queries) == 20


def test_fidelity_is_the_cosine_and_what_a_batch_changes() -> None:
    texts = ["red", "best", "good"] * 20

    found = fidelity(encode, lambda some: encode(some) if len(some) > 1 else confused(some), texts)

    assert found["texts"] == 60
    assert found["cosine_min"] == found["cosine_mean"] == 1.0
    assert found["batched_against_single"] == pytest.approx(np.sin(0.2) - np.sin(0.1))
    far = fidelity(encode, confused, texts)
    assert far["cosine_min"] == pytest.approx(np.cos(0.1), abs=1e-6)
    assert far["batched_against_single"] == 0.0
