"""The vocabulary follows items that are put and deleted, and changes only what they touch."""

from collections.abc import Mapping
from typing import Any

import orjson

from app.core.ranking import RankRequest
from app.core.types import Change, Item
from app.engine.catalogue.catalogue import Record
from app.engine.intent.parser import QueryParser, intent_parser_of
from tests.intent_catalogues import FILM_KINDS, FILMS, NOW, catalogue_of
from tests.small_engine import small_engine


def record(title: str, **fields: Any) -> Record:
    return Record(Item("x", title, fields), fields, title)


def filters(parser: QueryParser, query: str) -> Mapping[str, Any]:
    return orjson.loads(parser.parse(query, NOW).filters or "{}")


def films() -> QueryParser:
    return intent_parser_of(catalogue_of(FILMS, FILM_KINDS), {})


def test_a_new_value_is_known_and_forgotten_with_its_last_item() -> None:
    old = films()
    item = record("Steppe", categories=["Kazakh New Wave"])
    new = old.changed([None], [item])

    assert filters(new, "kazakh new wave films") == {"categories": {"any": ["Kazakh New Wave"]}}
    assert filters(old, "kazakh new wave films") == {}
    assert filters(new.changed([item], [None]), "kazakh new wave films") == {}


def test_a_value_stays_while_another_item_has_it() -> None:
    one, other = record("A", categories=["Giallo"]), record("B", categories=["Giallo"])
    parser = films().changed([None, None], [one, other]).changed([one], [None])
    assert filters(parser, "giallo") == {"categories": {"any": ["Giallo"]}}


def test_a_new_title_wins_over_what_its_words_say() -> None:
    old = films()
    item = record("Newest Comedies", categories=["Drama"])
    new = old.changed([None], [item])
    assert old.parse("newest comedies", NOW).sort == "newest"
    assert new.parse("newest comedies", NOW).sort == "relevance"
    assert new.changed([item], [None]).parse("newest comedies", NOW).sort == "newest"


def test_a_changed_field_copies_nothing_else() -> None:
    old = films()
    before, after = record("A", categories=["Drama"]), record("A", categories=["Comedy"])
    new = old.changed([before], [after]).vocabulary
    assert new.names is old.vocabulary.names
    assert new.counts["categories"]["Comedy"] == old.vocabulary.counts["categories"]["Comedy"] + 1
    assert new.counts["categories"]["Drama"] == old.vocabulary.counts["categories"]["Drama"] - 1
    assert new.n_items == old.vocabulary.n_items


def test_nothing_changed_is_the_same_parser() -> None:
    parser = films()
    assert parser.changed([], []) is parser
    assert parser.changed([None], [None]) is parser


def test_a_field_that_empties_no_longer_filters() -> None:
    parser = films()
    assert parser.vocabulary.filters("categories")
    many = [record(f"untagged {n}") for n in range(10)]
    assert not parser.changed([None] * 10, many).vocabulary.filters("categories")


def test_an_engine_understands_a_category_as_soon_as_an_item_has_it() -> None:
    engine = small_engine({"mob": 1.0})
    parser = intent_parser_of(engine._parts.catalogue, {})
    engine = small_engine({"mob": 1.0}, parser=parser)
    first = engine.info.catalogue + 1

    engine.plan([Change(first, "sub", {"title": "depth", "categories": ["submarine"]})], NOW)()
    (result,) = engine.rank([RankRequest(query="submarines", k=3)]).results
    assert result.items[0].id == "sub"
    assert engine.parser is not parser
    # One of the items has no category, so a category does not filter.
    wanted = {"categories": {"any": ["submarine"]}}
    assert orjson.loads(engine.interpret("submarines", NOW, look_up=True))["prefers"] == wanted

    engine.plan([Change(first + 1, "sub", None)], NOW)()
    assert orjson.loads(engine.interpret("submarines", NOW, look_up=True))["prefers"] == {}


def test_a_value_that_no_item_had_makes_cached_answers_old() -> None:
    engine = small_engine()
    engine = small_engine(parser=intent_parser_of(engine._parts.catalogue, {}))
    mob = {"title": "mob crime drama", "year": 1990}

    def visible_since_seq(seq: int, record: dict[str, Any]) -> int:
        engine.plan([Change(seq, "mob", record)], NOW)()
        return engine.info.visible_since_seq

    assert not engine.rank([RankRequest(query="submarines")]).results[0].depends_on_catalogue
    assert visible_since_seq(1, {**mob, "categories": ["crime"]}) == 0
    assert visible_since_seq(2, {**mob, "categories": ["crime", "submarine"]}) == 2
    assert engine.rank([RankRequest(query="submarines")]).results[0].depends_on_catalogue
    assert visible_since_seq(3, {**mob, "categories": ["submarine"]}) == 2
    # Queries may mean the value of a hidden item as well.
    assert visible_since_seq(4, {**mob, "categories": ["noir"], "hidden": True}) == 4
