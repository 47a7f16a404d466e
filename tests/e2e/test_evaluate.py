"""`recserve evaluate` as a user meets it: the real encoder, the real engine, one JSON document."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import recserve
from tests.evaluation_rig import pairs_folder, sequences_folder

pytestmark = pytest.mark.e2e

KINDS = ("red wine", "garden chair", "mountain bike", "piano")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Users who stay with one kind of thing: taste finds it, popularity does not."""
    titles = {f"{kind}{n}": f"{KINDS[kind]} number {n}" for kind in range(4) for n in range(12)}
    sequences = {f"u{n}": [f"{n % 4}{(n + 5 * step) % 12}" for step in range(5)] for n in range(24)}
    return sequences_folder(tmp_path / "kinds", sequences, titles)


def test_the_serving_engine_is_measured(folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    done = recserve(
        *("evaluate", "--dataset", str(folder), "--json", "-", "--report", str(report)),
        *("--baselines", "popularity,minilm"),
    )

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["n_users"], document["n_items"], document["protocol"]) == (24, 48, "strict")
    assert document["command"].startswith(f"recserve evaluate --dataset {folder} --json -")
    found = document["metrics"]["recall@10"]
    assert 0.5 < found["low"] <= found["value"] <= found["high"] <= 1.0
    popular = document["baselines"]["popularity"]["metrics"]["recall@10"]["value"]
    assert found["value"] > popular
    assert document["bundle"]["encoder"].startswith("all-MiniLM-L6-v2")
    assert set(document["sources"]) >= {"taste"}
    assert "<svg" in report.read_text(encoding="utf-8")


def test_graded_queries(tmp_path: Path) -> None:
    rows = [
        (f"{kind} {n}", f"{other} number {n}", "", 4 if kind == other else 1)
        for n in range(3)
        for kind in KINDS
        for other in KINDS
    ]
    done = recserve(
        *("evaluate", "--dataset", str(pairs_folder(tmp_path / "shop", rows)), "--json", "-")
    )

    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)["metrics"]
    assert metrics["ndcg@10"]["value"] > 0.95
    assert metrics["retrieval_ndcg@10"]["value"] > 0.7


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ((), 2, "--dataset"),
        (("--dataset", "absent"), 2, "not a folder"),
        (("--items", "absent.csv", "--events", "absent.csv"), 3, "absent.csv"),
        (("--bundle", "absent", "--events", "absent.csv"), 1, "no bundle"),
    ],
)
def test_mistakes_end_with_a_code_and_one_plain_line(
    flags: tuple[str, ...], code: int, message: str
) -> None:
    done = recserve("evaluate", *flags)

    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
