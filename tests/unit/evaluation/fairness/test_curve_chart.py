"""The chart of curves: one scale for all, percent on both axes, and text that is escaped."""

import xml.etree.ElementTree as ET

import pytest

from app.evaluation.fairness.curve_chart import Curve, curve_chart, standalone

CURVES = [
    Curve("diversity", ((0.0, 0.2, ""), (0.1, 0.3, "0.5"))),
    Curve("a <b>", ((-0.1, 0.4, "x"),)),
]


def test_points_stand_where_the_scale_says() -> None:
    root = ET.fromstring(curve_chart(CURVES, "a & b", "lost", "shown"))
    space = "{http://www.w3.org/2000/svg}"
    first, second, *_ = root.findall(f"{space}circle[@r='3']")
    # From 0 to .4, and from -.1 to .1: a tenth more is a quarter of the height, half of the width.
    assert float(first.attrib["cy"]) - float(second.attrib["cy"]) == pytest.approx(316 / 4, abs=0.1)
    assert float(second.attrib["cx"]) - float(first.attrib["cx"]) == pytest.approx(546 / 2, abs=0.1)
    texts = [text.text for text in root.iter(f"{space}text")]
    assert {"diversity", "a <b>", "lost", "shown", "0%", "40%", "-10%"} <= set(texts)
    assert root.findtext(f"{space}title") == "a & b"


def test_texts_that_would_cover_each_other_are_left_out() -> None:
    points = ((0.0, 0.0, "one"), (0.001, 0.0, "two"), (1.0, 1.0, "three"))
    chart = curve_chart([Curve("x", points)], "t", "x", "y")
    assert (">one<" in chart, ">two<" in chart, ">three<" in chart) == (True, False, True)


def test_a_file_of_its_own_has_the_styles() -> None:
    chart = standalone(curve_chart(CURVES, "t", "x", "y"))
    ET.fromstring(chart)
    assert chart.index("<style>") < chart.index("<path")
