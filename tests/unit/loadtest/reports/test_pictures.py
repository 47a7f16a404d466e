"""The pictures: what is drawn where, and that the same figures give the same bytes."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from loadtest.reports import pictures
from loadtest.reports.encoder import NAMES
from loadtest.reports.page import ROOT

SVG = "{http://www.w3.org/2000/svg}"


def side(**rounds: list[float]) -> dict[str, Any]:
    middles = {name: sorted(values)[len(values) // 2] for name, values in rounds.items()}
    return {"rounds": rounds, "median": middles}


BENCH = {
    "recserve": side(
        uncached_per_s=[665.4, 630, 690],
        hot_per_s=[8971.0, 8000, 9100],
        mix_per_s=[8511.0, 8300, 8900],
        over_goodput_per_s=[700, 800, 900],
        over_undegraded_per_s=[300, 390, 410],
        over_refused_per_s=[1234, 1090, 1170],
    ),
    "infinity": side(uncached_per_s=[222.0]),
    "naive": side(uncached_per_s=[86.0], hot_per_s=[91.0]),
    "bare": side(hot_per_s=[8606.0], mix_per_s=[7904.0]),
}
ENCODER = {
    "series": {
        "sentence-transformers/1": {"texts_per_s": 68.1},
        "sentence-transformers/sorted": {"texts_per_s": 268.8},
        "avx2/1": {"texts_per_s": 412.0},
        "avx2/32": {"texts_per_s": 971.0},
    }
}


def rate(goodput: float, p50: float | None, p99: float | None) -> dict[str, float | None]:
    return {"goodput_per_s": goodput, "p50_ms": p50, "p99_ms": p99}


CURVE = {"rates": [rate(100, 2, 5), rate(200, 3, 20), rate(300, 30, 400), rate(0, None, None)]}


def texts(picture: str) -> list[str]:
    return [text.text or "" for text in ET.fromstring(picture).iter(f"{SVG}text")]


def colours(picture: str, colour: str) -> list[ET.Element]:
    """The shapes in a colour, below the clip path that only what lies within the axes has."""
    found = [e for e in ET.fromstring(picture).iter() if e.get("clip-path") and e.get("style")]
    return [e for e in found if f"fill: {colour}" in str(e.get("style"))]


def width(bar: ET.Element) -> float:
    xs = [float(x) for x in re.findall(r"[ML] (\S+) ", str(bar.get("d")))]
    return max(xs) - min(xs)


def test_every_peer_has_its_rate_beside_a_bar_of_that_length() -> None:
    picture = pictures.rates(BENCH)

    assert {"665", "222", "86", "8,971", "8,606", "91", "8,511", "7,904"} <= set(texts(picture))
    assert {"recserve", "infinity", "naive", "bare route"} <= set(texts(picture))
    ours = colours(picture, "#2563a8")
    peers = colours(picture, "#b4b8bf")
    assert (len(ours), len(peers)) == (3, 5)
    assert width(peers[1]) / width(ours[0]) == pytest.approx(86 / 665.4, rel=1e-3)
    assert width(peers[3]) / width(ours[1]) == pytest.approx(91 / 8971, rel=1e-3)


def test_what_became_of_the_requests_adds_up_to_what_was_offered() -> None:
    picture = pictures.overload(BENCH)

    full, degraded = colours(picture, "#2563a8"), colours(picture, "#8db8e8")
    refused, late = colours(picture, "#e6e8eb"), colours(picture, "#c2572b")
    unit = width(full[0]) / 300
    assert [width(bar) / unit for bar in degraded] == pytest.approx([400, 410, 490], rel=1e-3)
    assert [width(bar) / unit for bar in refused] == pytest.approx([1234, 1090, 1170], rel=1e-3)
    assert width(late[0]) / unit == pytest.approx(3 * 665.4 - 700 - 1234, rel=1e-2)
    assert {"round 1", "round 2", "round 3", "300", "400", "1,234", "too late"} <= set(
        texts(picture)
    )


def test_a_fate_that_befell_nobody_is_not_named() -> None:
    ours = BENCH["recserve"]["rounds"]
    rates = zip(ours["uncached_per_s"], ours["over_goodput_per_s"], strict=True)
    rest = [3 * peak - good for peak, good in rates]
    picture = pictures.overload({"recserve": side(**{**ours, "over_refused_per_s": rest})})

    assert "too late" not in texts(picture)
    assert "refused (429)" in texts(picture)


def test_the_peer_stands_beside_each_batch_with_one_text_or_with_many() -> None:
    picture = pictures.encoder(ENCODER, NAMES)

    assert [text for text in texts(picture) if text.isdigit()] == ["68", "269", "412", "971"]
    assert {"batch 1", "batch 32", "SentenceTransformer.encode", "recserve, kernel by AVX2"} <= set(
        texts(picture)
    )


def test_points_lie_in_their_order_higher_where_slower() -> None:
    picture = pictures.curve(CURVE)

    dots = [e for e in ET.fromstring(picture).iter(f"{SVG}use") if "2563a8" in str(e.get("style"))]
    slow = [e for e in ET.fromstring(picture).iter(f"{SVG}use") if "c2572b" in str(e.get("style"))]
    xs, ys = ([float(str(e.get(axis))) for e in dots] for axis in ("x", "y"))
    assert len(xs) == 3
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)
    assert all(float(str(e.get("y"))) < y for e, y in zip(slow, ys, strict=True))
    assert {"10 ms", "100 ms", "300", "p50", "p99"} <= set(texts(picture))


def test_nothing_answered_is_no_curve() -> None:
    with pytest.raises(ValueError, match="nothing was answered"):
        pictures.curve({"rates": [rate(0, None, None)]})


@pytest.mark.process
def test_another_process_draws_the_same_bytes_without_a_date_or_an_address() -> None:
    code = (
        "from tests.unit.loadtest.reports.test_pictures import BENCH, CURVE, pictures;"
        "print(pictures.rates(BENCH) + pictures.overload(BENCH) + pictures.curve(CURVE), end='')"
    )
    env = os.environ | {"PYTHONHASHSEED": "5", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT, env=env
    )

    here = pictures.rates(BENCH) + pictures.overload(BENCH) + pictures.curve(CURVE)
    assert done.stdout.decode() == here
    assert "dc:date" not in here
    assert "fill: #ffffff" in here


def test_a_picture_is_stale_that_is_missing_or_differs(tmp_path: Path) -> None:
    drawn = {"a.svg": "<svg/>", "b.svg": "<svg>b</svg>"}
    assert pictures.stale(drawn, tmp_path / "none") == ["a.svg", "b.svg"]

    pictures.write(drawn, tmp_path / "new")
    assert pictures.stale(drawn, tmp_path / "new") == []
    assert pictures.stale({**drawn, "b.svg": "<svg>c</svg>"}, tmp_path / "new") == ["b.svg"]
