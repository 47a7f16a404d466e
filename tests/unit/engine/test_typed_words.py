"""What people type finds what they mean, through a whole engine over a small catalogue."""

import pytest

from app.core.ranking import RankRequest
from app.core.types import Change
from app.engine.engine import RankEngine
from app.testing.encoder import HashEncoder
from tests.small_engine import small_engine

SHOP = {
    "0439064864": "The wizard school part two",
    "54-OR323014": "Gearbox cover",
    "aBc-77": "Garden hose",
    "p1": "Łódź przewodnik",
    "p2": "Ørsted biografi",
    "p3": "Diyarbakır çay",
    "rose": "Rose bush",
    "rosé": "Rosé wine",
    "t1": "รองเท้าวิ่งสำหรับผู้ชาย",
    "t2": "หม้อหุงข้าวไฟฟ้า",
    "z1": "鲁迅小说全集",
    "z2": "龍門客棧",
    "a1": "کتاب فارسی",
    "h1": "Sony WH-1000XM4 headphones",
    "h2": "Sony WH-1000XM3 headphones",
    "r4": "Rocky IV",
    "r2": "Rocky II",
    "iv": "IV drip stand",
    "xm": "X-Men",
    "mx": "Mix tape",
    "k1": "Kühlschrankmagnet Eiffelturm",
    "k2": "Kinderfahrrad rot",
    "d1": "SSD 16 GB",
    "l1": "Milk 1,5 l",
    "s1": "Poster 20x30 cm",
    "w1": "Star Wars",
    "w2": "Toy Story",
    "w3": "The Godfather",
    "e1": "Khmer ភាសាខ្មែរ",
}


@pytest.fixture(scope="module")
def engine() -> RankEngine:
    # In so many dimensions, texts without a common word have next to nothing in common.
    encoder = HashEncoder(2048)
    return small_engine({"mx": 1.0, "w1": 0.2}, titles=SHOP, encoder=encoder)  # type: ignore[arg-type]


def first(engine: RankEngine, query: str, n: int = 1) -> list[str]:
    found = engine.rank([RankRequest(query=query, k=n)]).results[0].items
    return [item.id for item in found]


@pytest.mark.parametrize(
    ("query", "item"),
    [
        *(("0439064864", "0439064864"), ("439064864", "0439064864")),
        *(("54-OR323014", "54-OR323014"), ("54or323014", "54-OR323014"), ("ABC-77", "aBc-77")),
        *(("lodz", "p1"), ("ŁÓDŹ", "p1"), ("orsted", "p2"), ("diyarbakir", "p3")),
        *(("rosé", "rosé"), ("rosé wine", "rosé"), ("rose bush", "rose")),
        *(("รองเท้าวิ่ง", "t1"), ("รองเท้า", "t1"), ("หม้อหุงข้าว", "t2"), ("ភាសា", "e1")),
        *(("鲁迅", "z1"), ("全集", "z1"), ("全", "z1"), ("集", "z1"), ("龙门", "z2"), ("棧", "z2")),
        *(("كتاب", "a1"), ("wh1000xm4", "h1"), ("WH 1000XM4", "h1"), ("wh-1000xm3", "h2")),
        *(("rocky 4", "r4"), ("rocky iv", "r4"), ("rocky 2", "r2"), ("iv drip", "iv")),
        *(("x-men", "xm"), ("xmen", "xm"), ("mix", "mx"), ("magnet", "k1")),
        *(("kinder fahrrad", "k2"), ("kinderfahrrad", "k2"), ("fahrrad", "k2")),
        *(("16GB", "d1"), ("16 gb", "d1"), ("16 gigabyte", "d1"), ("1.5l", "l1"), ("1,5 l", "l1")),
        *(("20 x 30 poster", "s1"), ("20×30", "s1")),
        *(("star wa", "w1"), ("toy st", "w2"), ("godf", "w3")),
    ],
)
def test_it_is_first(engine: RankEngine, query: str, item: str) -> None:
    assert first(engine, query) == [item]


def test_a_title_wins_over_an_id_that_may_be_something_else() -> None:
    engine = small_engine(titles={"2012": "Heat", "7": "Alien", "a": "2012", "b": "7 up"})
    assert first(engine, "2012") == ["a"]
    assert first(engine, "7") == ["b"]
    named = small_engine(titles={"2012": "Heat", "7": "Alien", "77": "Other"})
    assert first(named, "7") == ["7"]
    assert first(named, "77") == ["77"]


def test_without_a_vector_a_popular_item_does_not_come_before_what_was_asked() -> None:
    titles = {"hit": "Everybody buys it", "z": "🎄 鲁迅全集 一", "y": "鲁迅"}
    engine = small_engine({"hit": 1.0}, titles=titles)  # type: ignore[arg-type]
    assert first(engine, "鲁迅小说", 3)[-1] == "hit"


def test_pictures_are_a_query_only_where_an_item_has_them(engine: RankEngine) -> None:
    assert first(engine, "🎸") == first(engine, "") == ["mx"]
    engine = small_engine({"a": 1.0}, titles={"a": "Guitar", "b": "🎸 sticker"})
    assert first(engine, "🎸") == ["b"]
    engine.plan([Change(1, "c", {"title": "Drums 🥁"})], 1000.0)()
    assert first(engine, "🥁") == ["c"]
    assert first(engine, "🎹") == ["a"]


@pytest.mark.parametrize("query", ["!!!", "🎄", "\u200b", "…"])
def test_a_query_without_letters_is_no_query(engine: RankEngine, query: str) -> None:
    assert first(engine, query, 3) == first(engine, "", 3)
    assert first(engine, query) == ["mx"]


@pytest.mark.parametrize(
    ("query", "item"),
    [
        ("Rocky 4", "r4"),
        ("rocky iv", "r4"),
        ("LODZ przewodnik", "p1"),
        ("54-or323014", "54-OR323014"),
    ],
)
def test_who_types_what_they_own_finds_it(engine: RankEngine, query: str, item: str) -> None:
    request = RankRequest(query=query, k=3, seen=frozenset(SHOP))
    found = engine.rank([request]).results[0].items
    assert [(each.id, each.seen) for each in found] == [(item, True)]


def test_changed_items_are_found_by_their_codes_and_spellings() -> None:
    engine = small_engine(titles=dict(SHOP))  # type: ignore[arg-type]
    changes = [
        Change(1, "0439064864", {"title": "Renamed, ISBN 978-1-23456-789-7"}),
        Change(2, "new-1", {"title": "Pâté de campagne"}),
        Change(3, "new-2", {"title": "Pate dish"}),
        Change(4, "54-OR323014", None),
    ]
    engine.plan(changes, 1000.0)()
    assert first(engine, "9781234567897") == ["0439064864"]
    assert first(engine, "0439064864") == ["0439064864"]
    assert first(engine, "NEW 1") == ["new-1"]
    assert first(engine, "pâté") == ["new-1"]
    assert "54-OR323014" not in first(engine, "54-OR323014", 5)
