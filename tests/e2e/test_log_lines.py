"""What a service says in its log: at the start, while Redis is down, and of each request."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Running, serving
from tests.redis_server import free_port

pytestmark = pytest.mark.e2e


def stopped(service: Running) -> list[dict[str, Any]]:
    """Stop a service, and return its whole log: a line may follow the reply that it is about."""
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(30)
    return [json.loads(line) for line in service.log.read_text().splitlines()]


def test_a_start_is_told_in_a_few_lines_without_names_of_libraries(
    bundle: Path, tmp_path: Path
) -> None:
    with serving(bundle, tmp_path) as service:
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(20)
        text = service.log.read_text()

    told = [line.split("INFO", 1)[1].strip() for line in text.splitlines()]
    assert re.fullmatch(r"ready: serves small, generation \S+, 8 items", told[0])
    assert told[1] == f"listening on {service.url}"
    assert told[-1] == "stopping"
    assert not re.search(r"uvicorn|redis\.|Error\b|object at|<", text, re.IGNORECASE)


def test_redis_that_is_down_is_said_once_with_its_address(bundle: Path, tmp_path: Path) -> None:
    cache, store = free_port(), free_port()
    urls = ("--cache-url", f"redis://:geheim@127.0.0.1:{cache}/0")
    urls += ("--store-url", f"redis://u:geheim@127.0.0.1:{store}/1")
    flags = (*urls, "--watch-catalogue-ms", "10", "--log-format", "json")
    with serving(bundle, tmp_path, *flags) as service:
        for n in range(20):
            assert service.recommend(query=f"film {n}", user_id="ann").status_code == 200
        warnings = [each for each in stopped(service) if each["level"] == "warning"]
        text = service.log.read_text()

    # Which of the loops looks first is left to chance.
    assert sorted(each["message"].partition(". Until")[0] for each in warnings) == [
        "recommending without user state: the event store cannot be read or written",
        "recommending without user state: user state could not be read a moment ago",
        "rules and scenarios may be behind: the store of rules and scenarios cannot be read or "
        "written",
        "the catalogue may be behind: the journal cannot be read or written",
        f"the shared cache at 127.0.0.1:{cache} cannot be used: connection refused",
        f"the store at 127.0.0.1:{store} cannot be used: connection refused",
    ]
    assert "geheim" not in text


def test_the_lines_of_workers_have_their_process(bundle: Path, tmp_path: Path) -> None:
    flags = ("--workers", "2", "--log-format", "json")
    with serving(bundle, tmp_path, *flags) as service:
        told = stopped(service)

    ready = {each["pid"] for each in told if each["message"].startswith("ready: ")}
    assert len(ready) == 2
    assert [each["pid"] for each in told if each["message"].startswith("listening")] == [
        service.process.pid
    ]


@pytest.mark.parametrize("path", ["/recommend", "/v1/recommend/"], ids=["fast", "routed"])
def test_each_request_is_a_line_on_both_ways(bundle: Path, tmp_path: Path, path: str) -> None:
    flags = ("--log-format", "json", "--slow-request-ms", "0", "--access-log-per-second", "1000")
    with serving(bundle, tmp_path, *flags) as service:
        for n, body in enumerate(({"query": "crime"}, {"query": "crime"}, {"k": 0})):
            service.client.post(path, json=body, headers={"x-request-id": f"r{n}"})
        service.client.get("/items/none", headers={"x-request-id": "r3"})
        told = [each for each in stopped(service) if each.get("id", "")[:1] == "r"]

    shown = [[each.get(key) for key in ("id", "route", "status", "cache")] for each in told]
    assert shown == [
        ["r0", "/recommend", 200, "miss"],
        ["r1", "/recommend", 200, "hit"],
        ["r2", "/recommend", 422, None],
        ["r3", "/items/{item_id}", 404, None],
    ]
    assert all(each["ms"] > 0 for each in told)


def test_a_slow_request_is_logged_with_its_stages(bundle: Path, tmp_path: Path) -> None:
    flags = ("--log-format", "json", "--slow-request-ms", "1", "--access-log-per-second", "0")
    with serving(bundle, tmp_path, *flags) as service:
        for n in range(3):
            service.recommend(query=f"a long query about crime and romance number {n}")
        slow = [each for each in stopped(service) if each["message"] == "slow request"]
        told = [each for each in slow if each["route"] == "/recommend"]

    assert told
    for each in told:
        stages = [each[f"{name}_ms"] for name in ("queue", "encode", "retrieve", "rerank")]
        assert 0 < sum(stages) <= each["total_ms"] <= each["ms"]
