"""Kept answers of two workers on one file: what comes back, what is counted, what erases them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Running, serving

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def service(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("kept")
    with serving(bundle, folder, "--workers", "2", "--keep-answers-hours", "1") as service:
        yield service


def renewed(service: Running) -> httpx.Client:
    """Return a client with a fresh connection, which another worker may take."""
    service.client.close()
    service.client = type(service.client)(base_url=service.url, timeout=20)
    return service.client


def kept(service: Running, answer: dict[str, Any]) -> httpx.Response:
    return renewed(service).get(f"/recommendations/{answer['recommendation_id']}")


def test_every_answer_comes_back_from_every_worker(service: Running) -> None:
    request = {"query": "crime", "user_id": "ann", "k": 3, "fields": ["categories"]}
    answers = []
    for _ in range(4):
        renewed(service)
        answers.append(service.recommend(**request).json())
    batch = {"requests": [{"query": "space", "budget_ms": 10_000}]}
    answers += service.client.post("/v1/recommend/batch", json=batch).json()["results"]
    assert {"miss", "hit"} <= {answer["cache"] for answer in answers}
    for answer in answers:
        for _ in range(3):
            found = kept(service, answer)
            assert found.status_code == 200, found.text
            body = found.json()
            assert body.pop("given_at") > 1_700_000_000
            asked = body.pop("request")
            assert asked == {"budget_ms": 10_000, **(request if len(asked) > 2 else asked)}
            assert body == answer
    assert 'answers_kept_total{result="kept"}' in service.client.get("/metrics").text


def test_what_is_not_kept_is_not_found(service: Running) -> None:
    private = service.recommend(user_id="ann", personalize=False).json()
    for answer in (private, {"recommendation_id": "0" * 32}):
        response = kept(service, answer)
        assert response.status_code == 404
        assert response.json()["error"]["field"] == "recommendation_id"


def test_a_deleted_user_takes_their_answers_along(service: Running) -> None:
    mine = [service.recommend(session_id="visit").json()]
    service.client.post("/events", json=[{"session_id": "visit", "item_id": "6"}])
    service.client.post("/users/eve/merge", json={"session_id": "visit"})
    for _ in range(6):
        renewed(service)
        mine.append(service.recommend(user_id="eve").json())
    other = service.recommend(user_id="bob").json()
    assert service.client.delete("/users/eve").status_code == 200
    assert [kept(service, answer).status_code for answer in mine] == [404] * 7
    assert kept(service, other).status_code == 200
