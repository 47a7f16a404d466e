"""Who is planned less, who is refused, and what the batcher makes of it."""

from app.serving.batching.plan import Admission
from tests.batcher_rig import outcomes, rig


def test_a_short_wait_spares_nothing_and_refuses_nobody():
    door = Admission()
    assert not any(door.needs_fast_encoding(0.1, 0.1, left=1.0) for _ in range(5))
    assert not door.refuses(0.1, left=1.0)


def test_in_a_rush_two_of_three_requests_keep_the_whole():
    door = Admission()
    assert [door.needs_fast_encoding(0.4, 0.1, left=1.0) for _ in range(5)] == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_without_time_for_the_whole_everybody_is_hurried():
    door = Admission()
    assert [door.needs_fast_encoding(0.0, 0.02, left=0.01) for _ in range(3)] == [True] * 3


def test_a_wait_beyond_half_of_the_time_is_refused():
    door = Admission()
    assert door.refuses(0.51, left=1.0)
    assert not door.refuses(0.49, left=1.0)


async def test_the_batcher_runs_the_lesser_request_where_there_is_no_time():
    async with rig() as r:
        tasks = await r.running("a b c")  # 4 tokens
        r.clock.advance(4.0)
        r.engine.release()
        await outcomes(tasks)  # a second a token
        r.engine.hold()
        tasks = await r.running("x")
        tasks += await r.waiting("one two three four", deadline=r.clock() + 4.5)
        r.engine.release()
        await outcomes(tasks)

    assert [request.fast_encoding for request in r.engine.batches[-1]] == [True]
    assert r.value("batch_tokens_sum") == 4 + 2 + 1


async def test_in_a_rush_others_are_hurried_before_anybody_is_refused():
    async with rig() as r:
        tasks = await r.running("a b c")
        r.clock.advance(4.0)
        r.engine.release()
        await outcomes(tasks)
        r.engine.hold()
        tasks = await r.running("x")
        tasks += await r.waiting(*["one two three"] * 12, deadline=r.clock() + 30.0)
        r.engine.release()
        ended = await outcomes(tasks)

    waited = [request.fast_encoding for batch in r.engine.batches[2:] for request in batch]
    calm = waited.index(True)
    assert waited == [False] * calm + [n % 3 == 0 for n in range(len(waited) - calm)]
    assert 0 < ended.count("OverloadedError") == 12 - len(waited)
