"""What every `Engine` promises, over the fake, the real one, and what serves either."""

import gc
import weakref

import orjson
import pytest

from app.core.errors import InvalidRequestError
from app.core.ports import Engine
from app.core.ranking import RankRequest
from app.domain.event_rules import DEFAULT_EVENT_RULES
from app.domain.intent import INTENT_OFF, Intent, intent_of
from app.serving.current_engine import CurrentEngine, LoadedBundle
from app.testing.fakes import GatedEngine, MemoryUserStore
from tests.small_engine import small_engine


@pytest.fixture(params=["fake", "real", "current fake", "current real"])
def engine(request: pytest.FixtureRequest) -> Engine:
    made: Engine = GatedEngine(n_items=7) if "fake" in request.param else small_engine()
    if "current" not in request.param:
        return made
    return CurrentEngine(LoadedBundle(made, MemoryUserStore({}), DEFAULT_EVENT_RULES))


def ids(engine: Engine, request: RankRequest) -> list[str]:
    return [item.id for item in engine.rank([request]).results[0].items]


def test_one_result_a_request_in_their_order(engine: Engine) -> None:
    known = ids(engine, RankRequest(k=3))
    batch = [RankRequest(candidates=(name,)) for name in known]

    results = engine.rank(batch).results

    assert [[item.id for item in result.items] for result in results] == [[n] for n in known]


def test_the_same_batch_gets_the_same_answer(engine: Engine) -> None:
    batch = [RankRequest(query="space", k=4), RankRequest(k=2)]

    assert engine.rank(batch).results == engine.rank(batch).results


def test_no_more_than_k_and_scores_never_rise(engine: Engine) -> None:
    items = engine.rank([RankRequest(query="space", k=4)]).results[0].items

    assert len(items) == 4
    assert [i.score for i in items] == sorted((i.score for i in items), reverse=True)


def test_what_is_excluded_never_comes_back(engine: Engine) -> None:
    first, *rest = ids(engine, RankRequest(k=7))

    assert set(ids(engine, RankRequest(k=7, exclude=frozenset({first})))) == set(rest)


def test_candidates_are_ranked_and_unknown_ids_named(engine: Engine) -> None:
    known = ids(engine, RankRequest(k=7))[:2]

    result = engine.rank([RankRequest(candidates=(*known, "?"), history=("!", "?"))]).results[0]

    assert {item.id for item in result.items} == set(known)
    assert result.missing_ids == ("!", "?")


def test_fields_and_items_show_the_declared_attributes(engine: Engine) -> None:
    names = tuple(engine.info.attributes)
    (ranked,) = engine.rank([RankRequest(k=1, fields=names)]).results[0].items
    item = engine.item(ranked.id)

    assert item is not None
    assert set(ranked.fields) == set(names) == set(item.fields)
    assert ranked.fields == item.fields
    assert engine.item("?") is None


def test_a_field_that_there_is_not_is_null(engine: Engine) -> None:
    """The request was checked before another bundle took over."""
    (ranked,) = engine.rank([RankRequest(k=1, fields=("gone",))]).results[0].items

    assert ranked.fields == {"gone": None}


def test_a_pass_says_what_it_ranked_by(engine: Engine) -> None:
    assert engine.rank([RankRequest()]).generation == engine.info.generation
    assert engine.info.generation.bundle == engine.info.bundle
    assert engine.info.generation.catalogue == engine.info.catalogue


def test_contains_and_item_agree(engine: Engine) -> None:
    (known,) = ids(engine, RankRequest(k=1))

    assert (engine.contains(known), engine.contains("?")) == (True, False)
    assert engine.item(known) is not None


@pytest.mark.parametrize("most", [1, 3, 10_000])
def test_a_survey_looks_at_items_that_there_are(engine: Engine, most: int) -> None:
    survey = engine.survey(most)
    assert survey.n_items >= engine.info.n_items
    assert len(survey.items) == min(most, survey.n_items)
    assert all(engine.contains(item.id) for item in survey.items)
    assert all(engine.visible(item.id) == item.visible for item in survey.items)


def test_interpreting_a_query_says_all_an_intent_has(engine: Engine) -> None:
    text = engine.interpret("space adventure", 1.7e9, look_up=True)

    assert intent_of(text).residual_text == "space adventure"
    assert orjson.loads(text).keys() == Intent().shown().keys()
    assert engine.interpret("space adventure", 1.7e9, look_up=True) == text
    assert intent_of(engine.interpret("", 1.7e9, look_up=True)) == Intent()


def test_an_answer_says_how_its_query_was_understood(engine: Engine) -> None:
    words, own = RankRequest("space adventure"), Intent(residual_text="space adventure").text()
    sent = words._replace(intent=Intent(sort="newest", count=2).text())
    off = words._replace(intent=INTENT_OFF)

    answers = engine.rank([words, sent, off, RankRequest()]).results

    assert [answer.intent for answer in answers] == [
        engine.interpret(words.query, 0.0, look_up=True),
        sent.intent,
        own,
        "",
    ]


def test_an_intent_says_how_many_where_the_caller_does_not(engine: Engine) -> None:
    intent = Intent(count=2).text()
    fixed, open_ = RankRequest(intent=intent, k=4), RankRequest(intent=intent, k_is_default=True)

    assert [len(ids(engine, request)) for request in (fixed, open_)] == [4, 2]


def test_an_answer_to_demands_depends_on_the_catalogue(engine: Engine) -> None:
    plain = RankRequest("space", intent=INTENT_OFF)
    demanding = RankRequest("space", intent=Intent(sort="newest").text())
    grouped = plain._replace(max_per=(("title", 1),))

    answers = engine.rank([plain, demanding, grouped]).results

    assert [answer.depends_on_catalogue for answer in answers] == [False, True, True]


def test_a_filter_that_does_not_fit_names_its_place(engine: Engine) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        engine.check_filter('{"colour":{"eq":"red"}}', "intent.filters")

    assert caught.value.field == "intent.filters.colour"


def test_closing_twice_is_fine(engine: Engine) -> None:
    engine.close()
    engine.close()


def test_the_real_one_is_freed_without_the_collector() -> None:
    """What is frozen is never collected, so a cycle would keep every old bundle in memory."""
    gc.disable()
    try:
        engine = small_engine()
        engine.rank([RankRequest(query="space"), RankRequest(history=("mob",))])
        parts = [weakref.ref(part) for part in (engine, engine._parts.catalogue)]
        del engine
        assert [part() for part in parts] == [None, None]
    finally:
        gc.enable()


def test_a_longer_query_costs_no_less(engine: Engine) -> None:
    costs = [engine.cost(RankRequest(query=q)) for q in ("", "space", "space adventure")]

    assert costs == sorted(costs)
    assert costs[0] >= 1


def test_a_title_stands_for_its_item(engine: Engine) -> None:
    name = ids(engine, RankRequest(k=1))[0]
    title = engine.item(name).title

    assert engine.item_of_title(title.upper()) == name
    assert engine.item_of_title("zzqxyv") is None
    assert engine.item_of_title("?!") is None
    assert engine.item_of_title("") is None


def test_of_a_context_a_part_is_known_and_all_of_that_is_known_again(engine: Engine) -> None:
    assert engine.known_context(()) == ()
    known = engine.known_context((("hour", 14.0), ("unknown", "x")))
    assert "unknown" not in dict(known)
    assert engine.known_context(known) == known
