"""Which requests are logged, and what is said of them."""

import logging
from typing import Any

import pytest

from app.api.request_log import Answered, RequestLog, request_log
from app.core.ranking import StageTimings
from app.serving.response import timings_of, write_head

BODY = write_head("r1", "miss", 1.5, StageTimings(2.0, 3.0, 4.0), 11.25) + b'"items":[]}'


def answered(seconds: float = 0.01, **fields: Any) -> Answered:
    made = Answered("id-1", "POST", "/recommend", 200, seconds, [(b"x-cache", b"miss")], BODY)
    return made._replace(**fields)


def said(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    keys = ("id", "method", "route", "status", "ms", "cache", "degraded", "left_out", "queue_ms")
    return [
        {key: vars(record)[key] for key in keys if key in vars(record)}
        | {"said": f"{record.levelname} {record.getMessage()}"}
        for record in caplog.records
    ]


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_above_a_rate_requests_are_counted_instead(caplog: pytest.LogCaptureFixture) -> None:
    wanted: list[bool] = []
    log = RequestLog(per_second=2, slow_ms=0, counted=lambda: len(wanted) + 1)
    for tenth in range(25):
        assert (100 + tenth / 10 >= log.wake) == (tenth % 10 < 2)
        wanted.append(log.wants(100 + tenth / 10, 0.01))
        if wanted.pop():
            log.write(answered())
            wanted.append(True)
        else:
            wanted.append(False)

    assert [n for n, yes in enumerate(wanted) if yes] == [0, 1, 10, 11, 20, 21]
    assert [each.get("left_out") for each in said(caplog)] == [None, None, 8, None, 8, None]


def test_a_line_says_what_there_is_to_say(caplog: pytest.LogCaptureFixture) -> None:
    log = RequestLog(per_second=9, slow_ms=1000, counted=float)
    log.write(answered(0.0123456, headers=[(b"x-cache", b"hit"), (b"x-degraded", b"encoder")]))
    log.write(answered(route="/items/{item_id:path}", method="GET", status=404, headers=[]))

    first, second = said(caplog)
    assert first == {
        "said": "INFO request",
        "id": "id-1",
        "method": "POST",
        "route": "/recommend",
        "status": 200,
        "ms": 12.346,
        "cache": "hit",
        "degraded": "encoder",
    }
    assert (second["route"], second["status"]) == ("/items/{item_id}", 404)
    assert "cache" not in second


def test_a_slow_request_is_a_warning_with_its_stages(caplog: pytest.LogCaptureFixture) -> None:
    log = RequestLog(per_second=0, slow_ms=1000, counted=lambda: 9)
    assert not log.wants(1.0, 0.999)
    assert log.wants(1.0, 1.0)
    log.write(answered(1.0))
    log.write(answered(2.0, status=504, body=b'{"error":{}}'))

    first, second = said(caplog)
    assert (first["said"], first["ms"], first["queue_ms"]) == ("WARNING slow request", 1000.0, 1.5)
    assert "left_out" not in first
    assert (second["status"], "queue_ms" in second) == (504, False)


def test_slow_requests_are_limited_too() -> None:
    log = RequestLog(per_second=0, slow_ms=1, counted=float)

    assert sum(log.wants(5.0, 1.0) for _ in range(1000)) == 10
    assert log.wants(6.0, 1.0)


def test_both_can_be_switched_off() -> None:
    assert request_log(0, 0, float) is None
    assert request_log(0, 1, float) is not None
    assert request_log(1, 0, float) is not None


def test_only_answers_have_stages() -> None:
    found = timings_of(BODY)

    assert found == {"queue": 1.5, "encode": 2.0, "retrieve": 3.0, "rerank": 4.0, "total": 11.25}
    assert timings_of(b"") == timings_of(b'{"results":[]}') == {}
