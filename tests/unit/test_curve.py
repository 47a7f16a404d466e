"""The throughput-latency curve: where the sweep ends, and where its points are drawn."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from loadtest.curve import Point, draw, points, sweep
from loadtest.open_loop import Offer, Outcome, Report, report

NOTHING = report([], Offer(rate=1, seconds=4))


def answered(rate: float, most: float) -> Report:
    return replace(NOTHING, offered_per_s=rate, goodput_per_s=min(rate, most), p50_ms=1, p99_ms=2)


def test_a_sweep_ends_with_the_first_rate_that_is_too_much() -> None:
    found = sweep(lambda rate: answered(rate, most=300), first=100)

    kept_up = [r.goodput_per_s >= 0.9 * r.offered_per_s for r in found]
    assert kept_up == [True] * 5 + [False]
    assert found[-1].goodput_per_s == 300


def test_what_was_never_answered_is_no_point() -> None:
    outcomes = [Outcome(due=2.0, sent=2.0, answered=2.01, status=200)]
    one = report(outcomes, Offer(rate=1, seconds=4))

    assert points([NOTHING, one]) == [Point(pytest.approx(1 / 3), *[pytest.approx(10.0)] * 2)]
    with pytest.raises(ValueError, match="nothing was answered"):
        draw([], "x")


def test_points_lie_in_their_order_higher_where_slower() -> None:
    drawn = [Point(100, 2, 5), Point(200, 3, 20), Point(300, 30, 400)]

    picture = ET.fromstring(draw(drawn, "a <title>"))

    circles = [c.attrib for c in picture.iter("{http://www.w3.org/2000/svg}circle")]
    xs, ys = ([float(c[axis]) for c in circles] for axis in ("cx", "cy"))
    assert xs[:3] == xs[3:] == sorted(xs[:3])
    assert ys[:3] == sorted(ys[:3], reverse=True)
    assert all(p99 < p50 for p50, p99 in zip(ys[:3], ys[3:], strict=True))
    labels = [t.text or "" for t in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert labels[0] == "a <title>"
    assert {"1 ms", "10 ms", "100 ms", "1000 ms", "300/s"} <= set(labels)
    assert not re.search("https?://(?!www.w3.org/2000/svg)", draw(drawn, "x"))
