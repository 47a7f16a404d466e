"""From settings to who may call: where the service may listen, and what strangers may do."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from app.core.errors import UsageError
from app.core.settings import Settings
from app.core.telemetry import Metrics
from app.serving.access.key_file import add_key
from app.serving.access.key_ring import KeyRing
from app.serving.access.keys import new_key
from app.serving.access.opening import check_access, key_ring


def _ring(settings: Settings) -> KeyRing:
    return key_ring(settings, Metrics(CollectorRegistry()))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_on_this_machine_nobody_needs_a_key(host: str) -> None:
    settings = Settings(host=host)
    check_access(settings)
    assert _ring(settings).anonymous == "admin"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.0.7", "shop.example"])
def test_beyond_it_somebody_must_have_said_so(host: str) -> None:
    with pytest.raises(UsageError, match="RECSERVE_ALLOW_ANONYMOUS=1"):
        check_access(Settings(host=host))
    settings = Settings(host=host, allow_anonymous=True)
    check_access(settings)
    assert _ring(settings).anonymous == "write"


def test_with_keys_strangers_may_read_at_most(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_key(path, new_key("read", "", 0.0)[1])
    for host in ("127.0.0.1", "::"):
        settings = Settings(host=host, api_keys_file=path)
        check_access(settings)
        assert _ring(settings).anonymous is None
        assert _ring(settings.model_copy(update={"allow_anonymous": True})).anonymous == "read"


def test_a_file_of_keys_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        check_access(Settings(api_keys_file=tmp_path / "keys.json"))


def test_the_port_of_operators_counts_as_an_address_of_the_service() -> None:
    settings = Settings(admin_port=9000, admin_host="0.0.0.0")
    with pytest.raises(UsageError, match=r"0\.0\.0\.0 is reached by other machines"):
        check_access(settings)
    allowed = settings.model_copy(update={"allow_anonymous": True})
    check_access(allowed)
    assert _ring(allowed).anonymous == "write"
    assert _ring(Settings(admin_port=9000)).anonymous == "admin"
    with pytest.raises(UsageError, match="choose another one"):
        check_access(Settings(port=9000, admin_port=9000))
