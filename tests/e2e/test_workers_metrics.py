"""One scrape of a service with two workers shows both."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Running, serving

pytestmark = pytest.mark.e2e

_PATIENCE_S = 30


def scraped(service: Running) -> dict[tuple[str, ...], float]:
    """Ask over a connection of its own, which any of the workers may take."""
    text = httpx.get(f"{service.url}/metrics", timeout=20).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_is_the_sum_over_the_workers_even_when_one_is_killed(
    bundle: Path, tmp_path: Path
) -> None:
    answered = ("recserve_requests_total", "/recommend", "200")
    with serving(bundle, tmp_path, "--workers", "2", "--log-format", "json") as service:
        _until(service, lambda found: found["recserve_workers",] == 2)
        for n in range(60):
            fields = {"query": f"film {n % 7}", "k": 2}
            httpx.post(f"{service.url}/recommend", json=fields, timeout=20).raise_for_status()
        found = [scraped(service) for _ in range(12)]

        assert {each[answered] for each in found} == {60}
        assert {each["recserve_request_seconds_count", "/recommend"] for each in found} == {60}
        assert {each["recserve_workers",] for each in found} == {2}
        assert {each["recserve_engine_up",] for each in found} == {1}
        assert found[0]["recserve_catalogue_items",] == 8
        assert found[0]["process_resident_memory_bytes",] > 1e8
        reads = [
            v for key, v in found[0].items() if "cache_reads_total" in key[0] and "local" in key
        ]
        assert sum(reads) == 60

        workers = _workers(service)
        os.kill(workers[0], signal.SIGKILL)
        _until(service, _replaced(service, workers[0]))

        assert {scraped(service)[answered] for _ in range(12)} == {60}


def _replaced(service: Running, killed: int) -> Callable[[dict[tuple[str, ...], float]], bool]:
    return lambda found: found["recserve_workers",] == 2 and killed not in _workers(service)


def _workers(service: Running) -> list[int]:
    pid = service.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in _command(child)]


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _until(service: Running, is_so) -> None:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        try:
            if is_so(scraped(service)):
                return
        except httpx.TransportError:
            continue
    raise AssertionError("it never came to that:\n" + service.log.read_text())
