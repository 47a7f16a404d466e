"""What a negation leaves, where no attribute says what things are, and Chinese in two scripts."""

from app.engine.intent.parser import intent_parser_of
from tests.intent_catalogues import NOW, catalogue_of

ITEMS = [{"title": title} for title in ("Zalvi kettle", "Ombra kettle", "Zalvi lamp")]


def test_a_not_leaves_the_last_of_its_words_where_the_query_has_nothing_else() -> None:
    parser = intent_parser_of(catalogue_of(ITEMS, {}), {})
    intent = parser.parse("not zalvi kettle", NOW)
    assert (intent.without, intent.residual_text) == (("zalvi",), "kettle")
    intent = parser.parse("kettle not zalvi lamp", NOW)
    assert (intent.without, intent.residual_text) == (("zalvi lamp",), "kettle")


def test_what_is_missing_stays_whole() -> None:
    parser = intent_parser_of(catalogue_of(ITEMS, {}), {})
    assert parser.parse("without zalvi kettle", NOW).without == ("zalvi kettle",)


def test_traditional_and_simplified_characters_are_the_same() -> None:
    rows = [{"title": "a", "kind": "電風扇"}, {"title": "b", "kind": "热水壶"}]
    parser = intent_parser_of(catalogue_of(rows, {"kind": "string"}), {})
    assert parser.parse("电风扇", NOW).filters == '{"kind":{"any":["電風扇"]}}'
    assert parser.parse("熱水壺", NOW).filters == '{"kind":{"any":["热水壶"]}}'


def test_a_word_of_tone_that_the_catalogue_has_as_a_value_is_that_value() -> None:
    rows = [{"title": "a", "mood": "calm"}, {"title": "b", "mood": "happy"}]
    parser = intent_parser_of(catalogue_of(rows, {"mood": "string"}), {})
    for query in ("calmer songs", "舒缓的歌"):
        intent = parser.parse(query, NOW)
        assert (intent.filters, intent.tone) == ('{"mood":{"any":["calm"]}}', ())


def test_a_place_has_its_names_of_both_languages() -> None:
    rows = [{"title": "a", "region": "Europe"}, {"title": "b", "region": "Asia"}]
    parser = intent_parser_of(catalogue_of(rows, {"region": "string"}), {})
    for query in ("european news", "欧洲新闻", "歐洲的新聞"):
        assert parser.parse(query, NOW).filters == '{"region":{"any":["Europe"]}}'


def test_a_longer_chinese_name_means_the_value_that_does_not_begin_it() -> None:
    rows = [{"title": "a", "kind": "Laptops"}, {"title": "b", "kind": "笔记本"}]
    parser = intent_parser_of(catalogue_of(rows, {"kind": "string"}), {})
    assert parser.parse("笔记本电脑", NOW).filters == '{"kind":{"any":["Laptops"]}}'
    assert parser.parse("笔记本", NOW).filters == '{"kind":{"any":["笔记本"]}}'


def test_a_name_behind_by_is_no_time_and_no_number() -> None:
    rows = [
        {"title": "a", "artist": "The Seventies", "published_at": 1971},
        {"title": "b", "artist": "Nine", "published_at": 2011},
    ]
    parser = intent_parser_of(catalogue_of(rows, {"artist": "string", "published_at": "time"}), {})
    for query, artist in (("songs by the seventies", "The Seventies"), ("songs by nine", "Nine")):
        assert parser.parse(query, NOW).filters == f'{{"artist":{{"any":["{artist}"]}}}}'
    assert "published_at" in parser.parse("songs from the seventies", NOW).filters


def test_a_value_with_an_ampersand_is_found_as_typed() -> None:
    rows = [{"title": "a", "kind": "D&D"}, {"title": "b", "kind": "Chess"}]
    parser = intent_parser_of(catalogue_of(rows, {"kind": "string"}), {})
    for query in ("d&d", "D & D", "d and d"):
        assert parser.parse(query, NOW).filters == '{"kind":{"any":["D&D"]}}'
