"""Same answer, same fingerprint; anything that may change the answer, another one."""

import unicodedata
from collections import namedtuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.ranking import RankRequest
from app.domain.query_text import normalised_query
from app.serving.caching.keys import fingerprint, state_of

WHERE = "demo/1"

ids = st.text(max_size=4)
id_lists = st.lists(ids, max_size=3).map(tuple)
requests = st.builds(
    RankRequest,
    query=st.text(max_size=6),
    history=id_lists,
    like=id_lists,
    dislike=id_lists,
    exclude=st.frozensets(ids, max_size=3),
    candidates=st.none() | id_lists,
    k=st.integers(1, 1000) | st.just(10),
    fields=id_lists,
    intent=st.sampled_from(["", "off", "{}"]) | ids,
    k_is_default=st.booleans(),
    now=st.sampled_from([0.0, 1.0]),
    max_per=st.lists(st.tuples(ids, st.integers(1, 3)), max_size=2).map(tuple),
    shown=id_lists,
)
places = ids


def meaning(request: RankRequest) -> RankRequest:
    return request._replace(query=normalised_query(request.query), now=0.0)


@given(requests, requests, places, places)
def test_equal_exactly_for_equal_inputs(one, two, here, there):
    same = meaning(one) == meaning(two) and here == there
    assert (fingerprint(one, here) == fingerprint(two, there)) == same
    assert fingerprint(one, here) == fingerprint(RankRequest(*one), here)


@given(requests, st.data())
def test_a_change_of_one_field_is_a_change(request_, data):
    name = data.draw(
        st.sampled_from(["history", "like", "dislike", "candidates", "fields", "shown"])
    )
    moved = (*(getattr(request_, name) or ()), "x")
    changed = request_._replace(**{name: moved})
    assert fingerprint(changed, WHERE) != fingerprint(request_, WHERE)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (RankRequest(history=("a", "b")), RankRequest(history=("b", "a"))),
        (RankRequest(history=("ab",)), RankRequest(history=("a", "b"))),
        (RankRequest(history=("asb",)), RankRequest(history=("a", "b"))),  # s: the tag of a text
        (RankRequest(history=("a",)), RankRequest(like=("a",))),
        (RankRequest(history=("a", "b")), RankRequest(history=("a",), like=("b",))),
        (RankRequest(candidates=None), RankRequest(candidates=())),
        (RankRequest(query="A"), RankRequest(query="a")),
        (RankRequest(k=1), RankRequest(k=11)),
        (RankRequest("a", intent="off"), RankRequest("a")),
        (RankRequest("a", k_is_default=True), RankRequest("a")),
        (RankRequest(max_per=(("a", 1),)), RankRequest(max_per=(("a", 2),))),
        (RankRequest(intent="a"), RankRequest(filter="a")),
    ],
)
def test_what_differs_stays_apart(one, two):
    assert fingerprint(one, WHERE) != fingerprint(two, WHERE)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("a heist", "  a \t\n heist\u3000"),
        ("café", unicodedata.normalize("NFD", "café")),
        ("", " \n "),
    ],
)
def test_spellings_of_one_query_share_a_fingerprint(one, two):
    assert fingerprint(RankRequest(one), WHERE) == fingerprint(RankRequest(two), WHERE)


def test_the_time_takes_no_part():
    one = fingerprint(RankRequest("newest crime", now=1.0), WHERE)
    assert one == fingerprint(RankRequest("newest crime", now=2.0), WHERE)


def test_the_order_of_exclude_does_not_matter():
    names = [f"i{n}" for n in range(50)]
    one = RankRequest(exclude=frozenset(names))
    two = RankRequest(exclude=frozenset(reversed(names)))
    assert fingerprint(one, WHERE) == fingerprint(two, WHERE)


def test_the_place_takes_part_and_its_borders_hold():
    ask = RankRequest("a")
    seen = {
        fingerprint(ask, bundle, who=who)
        for bundle, who in [("x", ("1",)), ("x", ()), ("", ("1",)), ("x1", ()), ("", ("x1",))]
    }
    assert len(seen) == 5


LaterRequest = namedtuple(
    "LaterRequest",
    (*RankRequest._fields, "flag", "odd"),
    defaults=(*RankRequest._field_defaults.values(), False, None),
)


def test_a_field_added_later_takes_part_by_itself():
    one, two = LaterRequest(flag=True), LaterRequest(flag=False)
    assert fingerprint(one, WHERE) != fingerprint(two, WHERE)


def test_a_field_without_a_canonical_form_is_an_error_not_a_shared_key():
    with pytest.raises(TypeError, match="no canonical form for dict"):
        fingerprint(LaterRequest(odd={}), WHERE)


def test_the_state_of_a_user_differs_by_version():
    states = {state_of(version) for version in (b"", b"a:1", b"a:2", b"b:1")}
    assert len(states) == 4
    assert {len(state) for state in states} == {16}


def test_who_asks_is_part_of_a_fingerprint():
    where = "b"
    request = RankRequest("heist")
    names = [(), ("u:1",), ("u:1", "x"), ("u:1x",), ("s:1",)]
    assert len({fingerprint(request, where, who=who) for who in names}) == len(names)
