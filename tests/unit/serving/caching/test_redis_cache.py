"""The parts of the shared cache that need no server: client options, the stored form."""

import random

import pytest
from redis.asyncio import BlockingConnectionPool

from app.serving.caching.redis import pack, unpack
from app.serving.stores.redis_client import RedisLimits, open_client

LIMITS = RedisLimits(ttl_s=1.0, timeout_s=0.03, max_connections=7)


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379/2",
        "redis://localhost/2?socket_timeout=60&socket_connect_timeout=60&timeout=60"
        "&max_connections=9999&retry_on_timeout=yes&health_check_interval=30&protocol=3",
    ],
)
def test_the_defaults_of_the_library_are_not_in_effect_whatever_the_url_says(url):
    pool = open_client(url, LIMITS).connection_pool
    assert isinstance(pool, BlockingConnectionPool)
    assert (pool.timeout, pool.max_connections) == (0.03, 7)
    connection = pool.make_connection()
    assert (connection.socket_timeout, connection.socket_connect_timeout) == (0.03, 0.03)
    assert connection.retry.get_retries() == 0
    assert not connection.retry_on_timeout
    assert connection.retry_on_error == []
    assert connection.health_check_interval == 0
    assert (connection.protocol, connection.driver_info) == (2, None)
    assert (connection.host, connection.db) == ("localhost", 2)
    assert not pool.maint_notifications_enabled()


def test_a_url_of_another_kind_is_an_error_at_the_start():
    with pytest.raises(ValueError, match="scheme"):
        open_client("http://localhost", LIMITS)


def test_an_option_that_does_not_exist_is_an_error_at_the_start():
    with pytest.raises(ValueError, match="unknown option"):
        open_client("redis://localhost?sockettimeout=1", LIMITS)


def test_a_packed_value_unpacks_for_its_own_fingerprint_only():
    packed = pack(b"mine", b"payload")
    assert unpack(packed, b"mine") == b"payload"
    assert unpack(packed, b"other") is None
    assert unpack(packed, b"") is None
    assert unpack(pack(b"", b""), b"") == b""


def test_the_border_between_fingerprint_and_payload_holds():
    assert unpack(pack(b"ab", b"c"), b"a") is None
    assert unpack(pack(b"a", b"bc"), b"ab") is None


@pytest.mark.parametrize("value", [None, 1, "text", [], b"", b"RSV\x01", bytes(200)])
def test_what_is_no_packed_value_is_nothing(value):
    assert unpack(value, b"mine") is None


def test_every_flipped_bit_is_found():
    packed = pack(b"mine", b"payload")
    for bit in range(len(packed) * 8):
        harmed = bytearray(packed)
        harmed[bit // 8] ^= 1 << bit % 8
        assert unpack(bytes(harmed), b"mine") is None


def test_every_cut_and_every_addition_is_found():
    packed = pack(b"mine", b"payload")
    noise = random.Random(1).randbytes(100)
    for n in range(len(packed)):
        assert unpack(packed[:n], b"mine") is None
        assert unpack(packed[n:] if n else packed[1:], b"mine") is None
        assert unpack(packed + noise[: n + 1], b"mine") is None
