"""The throughput-latency curve: where the sweep ends, and what is kept and shown of it."""

import json
from dataclasses import replace

from loadtest.reports import curve as curve_report
from loadtest.runners.open_loop import Offer, Report, report
from loadtest.scenarios.curve import document, sweep

NOTHING = report([], Offer(rate=1, seconds=4))


def answered(rate: float, most: float) -> Report:
    return replace(NOTHING, offered_per_s=rate, goodput_per_s=min(rate, most), p50_ms=1, p99_ms=2)


def test_a_sweep_ends_with_the_first_rate_that_is_too_much() -> None:
    found = sweep(lambda rate: answered(rate, most=300), first=100)

    kept_up = [r.goodput_per_s >= 0.9 * r.offered_per_s for r in found]
    assert kept_up == [True] * 5 + [False]
    assert found[-1].goodput_per_s == 300


def test_the_document_keeps_every_rate_and_the_page_names_them() -> None:
    found = json.loads(json.dumps(document([answered(50, 300), answered(1500, 300)], 2.5)))

    assert [row["goodput_per_s"] for row in found["rates"]] == [50, 300]
    assert found["rates"][1]["offered_per_s"] == 1500
    shown = curve_report.section(found)
    assert shown.startswith("![")
    assert "(pictures/curve.svg)" in shown
    assert "2 rates from 50 to 1,500 /s, 2.5 s each, on " in shown
