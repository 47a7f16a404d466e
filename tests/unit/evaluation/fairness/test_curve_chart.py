"""The chart of curves: one scale for all, percent on both axes, and text that is escaped."""

import xml.etree.ElementTree as ET

from app.evaluation.fairness.curve_chart import Curve, curve_chart, standalone

CURVES = [
    Curve("diversity", ((0.0, 0.2, ""), (0.1, 0.3, "0.5"))),
    Curve("a <b>", ((-0.1, 0.4, "x"),)),
]


def test_points_stand_where_the_scale_says() -> None:
    root = ET.fromstring(curve_chart(CURVES, "a & b", "lost", "shown"))
    space = "{http://www.w3.org/2000/svg}"
    first, second, *_ = root.findall(f"{space}circle[@r='3']")
    # From 0 to .4 with room, a tenth more of y is 79 to 80 pixels further up.
    assert float(first.attrib["cx"]) < float(second.attrib["cx"])
    assert 70 < float(first.attrib["cy"]) - float(second.attrib["cy"]) < 80
    texts = [text.text for text in root.iter(f"{space}text")]
    assert {"diversity", "a <b>", "lost", "shown", "0%", "42%"} <= set(texts)
    assert root.findtext(f"{space}title") == "a & b"


def test_a_file_of_its_own_has_the_styles() -> None:
    chart = standalone(curve_chart(CURVES, "t", "x", "y"))
    ET.fromstring(chart)
    assert chart.index("<style>") < chart.index("<path")
