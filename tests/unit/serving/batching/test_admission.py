"""Which requests get fast encoding, which are refused, and how the batcher acts on it."""

from app.serving.batching.plan import Admission
from tests.batcher_rig import outcomes, rig


def test_after_a_short_wait_all_work_is_done_and_nobody_is_refused():
    admission = Admission()
    assert not any(admission.needs_fast_encoding(0.1, 0.1, remaining_s=1.0) for _ in range(5))
    assert not admission.refuses(0.1, remaining_s=1.0)


def test_in_an_overload_two_of_three_requests_get_the_full_work():
    admission = Admission()
    assert [admission.needs_fast_encoding(0.4, 0.1, remaining_s=1.0) for _ in range(5)] == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_without_time_for_full_work_all_get_fast_encoding():
    admission = Admission()
    assert [admission.needs_fast_encoding(0.0, 0.02, remaining_s=0.01) for _ in range(3)] == [
        True
    ] * 3


def test_a_wait_beyond_half_of_the_time_is_refused():
    admission = Admission()
    assert admission.refuses(0.51, remaining_s=1.0)
    assert not admission.refuses(0.49, remaining_s=1.0)


async def test_the_batcher_runs_the_fast_encoding_if_there_is_no_time():
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


async def test_in_an_overload_some_get_fast_encoding_before_anybody_is_refused():
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
    full = waited.index(True)
    assert waited == [False] * full + [n % 3 == 0 for n in range(len(waited) - full)]
    assert 0 < ended.count("OverloadedError") == 12 - len(waited)
