"""The local cache: bounded in real bytes, least recently used first, spread expiry."""

import tracemalloc

import pytest
from prometheus_client import CollectorRegistry

from app.core.telemetry import Metrics
from app.serving.caching.local import LocalCache
from tests.clock import Clock


def cache(max_bytes: int = 10_000, ttl_s: float = 100.0, *, chance: float = 0.5, **kwargs):
    metrics = Metrics(CollectorRegistry())
    return LocalCache(max_bytes, ttl_s, metrics, chance=lambda: chance, **kwargs)


def held(kept: LocalCache, keys) -> list[bytes]:
    return [key for key in keys if kept.get(key) is not None]


def test_a_value_comes_back_as_it_was_put():
    kept = cache()
    kept.put(b"a", b"\x00value")
    kept.put(b"b", b"")
    assert (kept.get(b"a"), kept.get(b"b"), kept.get(b"c")) == (b"\x00value", b"", None)


def test_a_later_value_replaces_an_earlier_one_and_its_bytes():
    kept = cache()
    for _ in range(100):
        kept.put(b"a", bytes(1000))
    kept.put(b"a", b"new")
    assert kept.get(b"a") == b"new"
    assert repr(kept) == "<LocalCache 1 values, 354/10000 bytes>"


def test_the_least_recently_used_goes_first():
    kept = cache(max_bytes=3 * 1000)
    keys = [b"a", b"b", b"c", b"d"]
    for key in keys[:3]:
        kept.put(key, bytes(600))
    kept.get(b"a")
    kept.put(b"d", bytes(600))
    assert held(kept, keys) == [b"a", b"c", b"d"]


def test_keys_and_overhead_count_so_empty_values_do_not_come_free():
    kept = cache(max_bytes=4000)
    for n in range(1000):
        kept.put(b"%04d" % n * 25, b"")
    assert repr(kept) == "<LocalCache 8 values, 3600/4000 bytes>"


def test_a_value_larger_than_the_cache_is_not_kept_and_drives_nothing_out():
    kept = cache(max_bytes=1000)
    kept.put(b"a", b"small")
    kept.put(b"b", bytes(5000))
    assert held(kept, [b"a", b"b"]) == [b"a"]


def test_size_zero_keeps_nothing():
    kept = cache(max_bytes=0)
    kept.put(b"a", b"")
    assert kept.get(b"a") is None


def test_the_accounted_bytes_cover_the_real_ones():
    kept = cache(max_bytes=2_000_000)
    tracemalloc.start()
    try:
        for n in range(20_000):
            kept.put(b"%06d" % n, b"%020d" % n)
        real, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert real <= 2_000_000


@pytest.mark.parametrize(("chance", "life"), [(0.0, 90.0), (0.5, 100.0), (1.0, 110.0)])
def test_a_value_lives_for_the_ttl_spread_by_ten_percent(chance, life):
    clock = Clock()
    kept = cache(chance=chance, clock=clock)
    kept.put(b"a", b"value")
    clock.advance(life - 0.01)
    assert kept.get(b"a") == b"value"
    clock.advance(0.02)
    assert kept.get(b"a") is None
    assert repr(kept) == "<LocalCache 0 values, 0/10000 bytes>"


def test_hits_and_misses_are_counted():
    metrics = Metrics(CollectorRegistry())
    kept = LocalCache(1000, 100.0, metrics)
    kept.put(b"a", b"value")
    for key in (b"a", b"a", b"b"):
        kept.get(key)
    value = metrics.registry.get_sample_value
    assert value("recserve_cache_reads_total", {"tier": "local", "result": "hit"}) == 2
    assert value("recserve_cache_reads_total", {"tier": "local", "result": "miss"}) == 1


def test_a_value_comes_back_only_in_the_state_it_was_put_in_and_is_counted_so():
    metrics = Metrics(CollectorRegistry())
    cache = LocalCache(10_000, 100.0, metrics)
    cache.put(b"key", b"value", b"state 1")

    assert cache.get(b"key", b"state 2") is None
    assert cache.get(b"key", b"state 1") == b"value"
    cache.put(b"key", b"newer", b"state 2")
    assert cache.get(b"key", b"state 1") is None
    assert cache.get(b"key", b"state 2") == b"newer"
    reads = {
        result: metrics.registry.get_sample_value(
            "recserve_cache_reads_total", {"tier": "local", "result": result}
        )
        for result in ("hit", "outdated", "miss")
    }
    assert reads == {"hit": 2, "outdated": 2, "miss": 0}
