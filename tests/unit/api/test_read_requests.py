"""Requests are remembered by their bodies, the newest ones only."""

import pytest
from pydantic import ValidationError

from app.api.read_requests import ReadRequests


def test_a_body_that_comes_again_is_the_same_request() -> None:
    requests = ReadRequests()
    first = requests.read(b'{"query":"a"}')
    assert first.query == "a"
    assert requests.read(b'{"query":"a"}') is first
    other = requests.read(b'{"query": "a"}')
    assert other == first
    assert other is not first


def test_a_wrong_body_is_wrong_each_time() -> None:
    requests = ReadRequests()
    for _ in range(2):
        with pytest.raises(ValidationError):
            requests.read(b'{"k":0}')


def test_the_oldest_are_forgotten() -> None:
    requests = ReadRequests(most=2)
    bodies = [b'{"k":%d}' % k for k in range(1, 6)]
    kept = {body: requests.read(body) for body in bodies}
    assert requests.read(bodies[-1]) is kept[bodies[-1]]
    assert requests.read(bodies[0]) is not kept[bodies[0]]


def test_what_is_asked_for_again_stays() -> None:
    requests = ReadRequests(most=2)
    first = requests.read(b'{"k":1}')
    for k in range(2, 20):
        requests.read(b'{"k":%d}' % k)
        assert requests.read(b'{"k":1}') is first


def test_long_bodies_are_not_remembered() -> None:
    requests = ReadRequests()
    body = b'{"query":"a"}' + b" " * 2000
    assert requests.read(body) is not requests.read(body)
