"""Which items a user began and did not finish."""

from app.core.types import Event
from app.domain.event_rules import DEFAULT_EVENT_RULES
from app.serving.shelves.unfinished import BEGUN, FINISHED, unfinished_items


def unfinished(*said: tuple[str, str], begun=BEGUN, finished=FINISHED) -> tuple[str, ...]:
    events = [Event(f"e{n}", "u:1", item, kind, float(n)) for n, (kind, item) in enumerate(said)]
    return unfinished_items(events, DEFAULT_EVENT_RULES, begun, finished)


def test_what_was_begun_last_comes_first_and_what_was_finished_is_gone():
    said = [("play", "a"), ("play", "b"), ("click", "c"), ("complete", "a"), ("progress", "d")]
    assert unfinished(*said) == ("d", "b")
    assert unfinished(*said, ("resume", "b")) == ("b", "d")


def test_the_newest_event_decides():
    assert unfinished(("play", "a"), ("complete", "a"), ("play", "a")) == ("a",)
    assert unfinished(("complete", "a"), ("play", "a"), ("complete", "a")) == ()


def test_a_negative_event_ends_an_item_and_a_cart_is_ended_by_a_purchase():
    assert unfinished(("play", "a"), ("play", "b"), ("dislike", "a")) == ("b",)
    assert unfinished(("cart", "a"), ("cart", "b"), ("purchase", "b")) == ("a",)
    assert unfinished(("cart", "a"), ("remove_from_cart", "a")) == ()


def test_a_shelf_may_name_its_own_kinds():
    said = [("lesson", "a"), ("lesson", "b"), ("play", "c"), ("exam", "b")]
    assert unfinished(*said, begun=["lesson"], finished=["exam"]) == ("a",)
