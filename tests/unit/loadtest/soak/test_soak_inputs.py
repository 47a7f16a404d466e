"""Inputs of a soak run: none comes twice, and all are requests that the service takes."""

import random
from itertools import islice

from app.domain.request import RecommendRequest
from loadtest.soak.inputs import MOST_CHARACTERS, Asks, Texts

ITEMS = {f"item-{n}": f"Red lamp {n}" for n in range(60)}


def test_no_text_comes_twice_and_all_lengths_do() -> None:
    texts = Texts(list(ITEMS.values()), random.Random(1))
    made = [texts.next() for _ in range(3000)]
    assert len(set(made)) == 3000
    assert max(map(len, made)) <= MOST_CHARACTERS
    assert min(map(len, made)) < 10
    assert sum(len(text) > 256 for text in made) > 200


def test_all_kinds_of_requests_come_and_fit_the_service() -> None:
    asks = list(islice(Asks(ITEMS, random.Random(1)), 500))
    paths = {ask.path for ask in asks}
    assert paths == {"/recommend", "/recommend/batch", "/similar", "/interpret", "/events"}
    bodies = [ask.body for ask in asks if ask.path == "/recommend"]
    checked = [RecommendRequest.model_validate(body) for body in bodies]
    assert len({ask.query for ask in checked}) == len(checked)
    assert any(ask.history for ask in checked)
    assert any(ask.user_id for ask in checked)
