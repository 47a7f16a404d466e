"""The page and the lines: what the headline claims, and that the page stands alone."""

import re
from html.parser import HTMLParser

import pytest

from app.evaluation.names import PROTOCOLS
from app.evaluation.report import headline, render, summary_lines
from app.evaluation.report_page import Bar, bar_chart


def estimate(value, spread=0.005):
    return {"value": value, "low": value - spread, "high": value + spread}


def document(ours=0.06, theirs=0.05, protocol="strict"):
    metrics = {
        "recall@10": estimate(0.1),
        "ndcg@10": estimate(ours),
        "mrr": estimate(0.05),
        "diversity@10": {"value": None, "low": None, "high": None},
        "popularity_lift@10": estimate(0.5),
    }
    return {
        "command": "recserve evaluate --dataset 'a <b>'",
        "dataset": "a <b>",
        "protocol": protocol,
        "seed": 0,
        "seconds": 12.0,
        "n_users": 1000,
        "n_items": 50,
        "n_training_events": 7000,
        "notes": {"target_not_in_catalogue": 3},
        "recserve": "0.1",
        "bundle": {"name": "bundle", "generation": "g1"},
        "metrics": metrics,
        "exposure": {"coverage@10": 0.5, "gini@10": 0.7},
        "timings": {"rank_ms_per_request": 0.5},
        "by_history": [
            {"history": "1–2", "n_users": 10, "metrics": {"ndcg@10": estimate(0.02)}},
            {"history": "3–4", "n_users": 20, "metrics": {"ndcg@10": estimate(0.03)}},
        ],
        "sources": {"taste": {"hits": 0.9, "only": 0.5, "places": 1.0, "recall": 0.2}},
        "candidates": {"recall": 0.25, "mean": 200.0, "n_users": 500},
        "baselines": {
            "ease": {
                "shown": "EASE & co",
                "metrics": metrics | {"ndcg@10": estimate(theirs)},
                "exposure": {"coverage@10": 0.2, "gini@10": 0.9},
                "seconds": 3.0,
            },
            "als": {"shown": "ALS", "unavailable": "implicit is not installed"},
        },
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (0.06, 0.04, "1.50 times as good as that of the best baseline, EASE & co"),
        (0.06, 0.055, "cannot be told apart from the best baseline"),
        (0.04, 0.06, "is worse than the best baseline, EASE & co: 0.67 times"),
    ],
)
def test_the_headline_is_honest(ours, theirs, said):
    assert said in headline(document(ours, theirs))


# `evaluate` refuses `--report` with the ratings: they have one figure, and it is on the terminal.
@pytest.mark.parametrize("protocol", [each for each in PROTOCOLS if each != "ratings"])
def test_every_protocol_has_a_page(protocol):
    page = render(document(protocol=protocol))
    assert "$" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert headline(document(protocol=protocol)).replace("&", "&amp;") in page


def test_the_page_loads_nothing_and_escapes_everything():
    page = render(document())
    assert not re.search(r"(src|href)=|url\(|@import|<script|<link", page)
    assert "a <b>" not in page
    assert "a &lt;b&gt;" in page
    assert "EASE & co" not in page


class Balance(HTMLParser):
    """Every tag that opens closes, in order."""

    empty = frozenset({"meta", "rect", "path"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.empty:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in self.empty

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed():
    parser = Balance()
    parser.feed(render(document()))
    assert parser.open == []


def test_every_figure_names_the_command_that_made_it():
    page = render(document())
    assert page.count("<svg") == page.count("<pre>recserve evaluate --dataset") == 7


def test_bars_are_as_long_as_their_values():
    drawn = bar_chart([Bar("a", 0.5, 0.4, 1.0), Bar("b", 0.25)], "title")
    widths = [
        float(width) for width in re.findall(r'<rect class="bar"[^>]*?width="([\d.]+)"', drawn)
    ]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2)
    assert drawn.count('class="whisker"') == 1
    assert "0.500 (0.400–1.000)" in drawn
    assert bar_chart([], "nothing").startswith("<svg")
    assert "-" not in re.findall(r'width="([^"]+)"', bar_chart([Bar("x", -1.0)], "t"))[1]


def test_lines_for_a_terminal():
    text = "\n".join(summary_lines(document()))
    assert re.search(r"recserve +0\.1000 \(0\.0950–0\.1050\)", text)
    assert re.search(r"ALS +not run: implicit is not installed", text)
    assert "0.50 ms a request" in text
