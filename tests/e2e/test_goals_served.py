"""Goals over HTTP, on a bundle whose network and heads were written by hand: nothing is learned."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from app.bundle.manifest import MANIFEST, BundleFacts, LearnedFacts
from app.bundle.reader import Bundle, load_arrays, load_vectors, open_bundle
from app.bundle.writer import write_bundle
from app.domain.columns import prefixed
from app.engine.retrieval.index import FlatIndex
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.scoring.pair_features import PairFeatures, TextSide
from app.offline.learning.fusion import fixed_sum
from tests.e2e.conftest import FILMS, Running, serving

QUERY = "a film about crime"
BOUGHT = {"4"}
"""Those who take this film buy it; all others are only clicked."""

CALIBRATION = {
    "knots": np.array([-10.0, 10.0], np.float32),
    "log_odds": np.array([-10.0, 10.0], np.float32),
}


def with_goals(bundle: Bundle, out: Path) -> None:
    """Publish a copy with a network that follows the cosine, and with two goals."""
    vectors, words = load_vectors(bundle), LexicalIndex(load_arrays(bundle, "words.safetensors"))
    freshness = load_arrays(bundle, "signals.safetensors")["freshness"]
    side = TextSide(words, vectors, FlatIndex(vectors).empty, freshness)
    names = PairFeatures(side, None, None).names("words")
    bought = np.array([film[0] in BOUGHT for film in FILMS] + [False])
    shares = np.stack([np.where(bought, 0.05, 0.9), np.where(bought, 0.9, 0.05)])
    goals = {"shares": shares.astype(np.float32)}
    for goal in range(2):
        goals |= {f"words/{name}_{goal}": line for name, line in CALIBRATION.items()}

    def fill(folder: Path) -> BundleFacts:
        shutil.copytree(bundle.path, folder, dirs_exist_ok=True)
        (folder / MANIFEST).unlink()
        network = fixed_sum(names, {"cosine.cosine": 2.0}) | CALIBRATION
        save_file(prefixed("words", network), folder / "scorer.safetensors")
        save_file(goals, folder / "goals.safetensors")
        facts = {name: getattr(bundle.manifest, name) for name in BundleFacts.model_fields}
        learned = LearnedFacts(
            features={"words": names}, decays={}, content_knn_share=0.0, goals=("click", "purchase")
        )
        return BundleFacts(**facts | {"learned": learned})

    write_bundle(out, fill)


@pytest.fixture(scope="module")
def service(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("goals")
    with_goals(open_bundle(bundle), folder / "models" / "goals")
    with serving(folder / "models" / "goals", folder) as running:
        yield running


def ids(service: Running, **fields: Any) -> list[str]:
    answer = service.recommend(query=QUERY, intent=False, **fields)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def test_goals_turn_the_order_of_an_answer(service: Running) -> None:
    plain = ids(service)
    bought, clicked = ids(service, goals={"purchase": 1.0}), ids(service, goals={"click": 1})
    assert bought[0] == "4"
    assert clicked[-1] == "4" != plain[-1]
    others = [film for film in plain if film != "4"]
    assert [film for film in bought if film != "4"] == others
    assert [film for film in clicked if film != "4"] == others
    # Here a take is by one of both, so both together say nothing.
    assert ids(service, goals={"purchase": 0.5, "click": 0.5}) == plain


def test_a_title_comes_first_whatever_the_goals(service: Running) -> None:
    for film, title, *_ in FILMS:
        for goal in ("click", "purchase"):
            answer = service.recommend(query=title, intent=False, goals={goal: 1.0}).json()
            assert answer["items"][0]["id"] == film


def test_a_scenario_has_goals(service: Running) -> None:
    put = service.client.put("/admin/scenarios/checkout", json={"goals": {"purchase": 1.0}})
    assert put.status_code == 200, put.text
    assert ids(service, scenario="checkout") == ids(service, goals={"purchase": 1.0})
    assert ids(service, scenario="checkout", goals={"click": 1.0}) == ids(
        service, goals={"click": 1.0}
    )
    wrong = service.client.put("/admin/scenarios/checkout", json={"goals": {"like": 1.0}})
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (422, "goals.like")


def test_wrong_goals_are_refused_with_those_there_are(service: Running) -> None:
    wrong = service.recommend(goals={"like": 1.0})
    assert wrong.status_code == 422
    assert wrong.json()["error"]["message"] == (
        "there is no goal 'like'; the goals are click, purchase"
    )
    assert service.client.get("/info").json()["goals"] == ["click", "purchase"]
