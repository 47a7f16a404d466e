"""Pages: what a cursor holds, and that no page repeats an earlier one."""

import base64
import hashlib
import struct
import uuid
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidRequestError
from app.domain.request import MAX_CURSOR_CHARACTERS, MAX_CURSOR_ITEMS
from app.serving.cursor import LIFE_S, Page, owned_by, read_cursor, write_cursor
from app.testing.fakes import GatedEngine, MemoryCache
from tests.event_stores import NOW, event
from tests.recommender_rig import rig

ID = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=256)
OWNER = b"12345678"


@given(st.lists(ID, max_size=50), st.binary(min_size=8, max_size=8))
def test_what_is_written_is_read(shown: list[str], owner: bytes) -> None:
    text = write_cursor(shown, owner, NOW)
    assert read_cursor(text, NOW + LIFE_S, LIFE_S) == Page(tuple(shown), owner)


def test_what_no_request_could_carry_is_not_offered() -> None:
    ids = [str(uuid.UUID(int=n * 2**100 // 7 + n)) for n in range(MAX_CURSOR_ITEMS)]
    text = write_cursor(ids, OWNER, NOW)
    assert len(text) <= MAX_CURSOR_CHARACTERS
    assert read_cursor(text, NOW, LIFE_S).shown == tuple(ids)
    assert write_cursor([*ids, "x"], OWNER, NOW) is None
    long = [hashlib.sha512(f"{n}".encode()).hexdigest() * 2 for n in range(MAX_CURSOR_ITEMS)]
    assert write_cursor(long, OWNER, NOW) is None


@pytest.mark.parametrize("character", ["a", "é", "\U0001f600"])
def test_the_longest_ids_are_read_back_whole(character: str) -> None:
    ids = [f"{n:04}".rjust(256, character) for n in range(MAX_CURSOR_ITEMS)]
    text = write_cursor(ids, OWNER, NOW)
    assert text is not None
    assert read_cursor(text, NOW, LIFE_S).shown == tuple(ids)


@given(st.data())
def test_a_changed_cursor_is_refused(data: st.DataObject) -> None:
    text = write_cursor(["a", "b"], OWNER, NOW)
    raw = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    place = data.draw(st.integers(17, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidRequestError):
        read_cursor(base64.urlsafe_b64encode(raw).decode(), NOW, LIFE_S)


@given(st.text(max_size=60))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_cursor(text, NOW, LIFE_S)
    assert caught.value.field == "cursor"


@pytest.mark.parametrize("ids", ["1\n" * MAX_CURSOR_ITEMS, "\n" * 1_000_000, "a" * 2_000_000])
def test_a_forged_cursor_of_more_than_a_page_chain_holds_is_refused(ids: str) -> None:
    packed = zlib.compress(ids.encode())
    head = struct.pack(">BQ8sI", 1, int(NOW), OWNER, zlib.crc32(packed))
    with pytest.raises(InvalidRequestError, match="no cursor"):
        read_cursor(base64.urlsafe_b64encode(head + packed).decode(), NOW, LIFE_S)


def test_an_old_cursor_and_one_of_tomorrow_are_refused() -> None:
    text = write_cursor(["a"], OWNER, NOW)
    for now in (NOW + LIFE_S + 1, NOW - LIFE_S - 1):
        with pytest.raises(InvalidRequestError, match="old"):
            read_cursor(text, now, LIFE_S)


def test_a_page_belongs_to_the_user_it_was_made_for() -> None:
    page = owned_by(b"epoch:1", Page(("a",)))

    assert owned_by(b"epoch:7", page) == page  # the user did something meanwhile
    for version in (b"other:1", b""):
        with pytest.raises(InvalidRequestError):
            owned_by(version, page)
    assert owned_by(b"", Page(("a",))) == Page(("a",))


async def pages(get: Any, n: int, **said: Any) -> list[list[str]]:
    found, cursor = [], None
    for _ in range(n):
        answer = await get(**said, **({} if cursor is None else {"cursor": cursor}))
        found.append([item["id"] for item in answer["items"]])
        cursor = answer["next_cursor"]
    return found


@pytest.mark.parametrize("said", [{}, {"user_id": "ann"}, {"query": "x", "repeat": True}], ids=str)
async def test_pages_never_repeat_and_reach_the_end(said: dict[str, Any]) -> None:
    async with rig(MemoryCache(), engine=GatedEngine(n_items=25)) as r:
        for _ in range(2):  # computed, then from the cache
            found = await pages(r.get, 3, k=10, **said)
            assert found == [[f"i{n}" for n in range(k, min(k + 10, 25))] for k in (0, 10, 20)]
        last = await r.get(k=25, **said)
        after = await r.get(k=10, cursor=last["next_cursor"], **said)

    assert (after["items"], after["next_cursor"]) == ([], None)


async def test_a_click_between_pages_repeats_nothing_and_shows_its_effect() -> None:
    async with rig() as r:
        first = await r.get(user_id="ann", k=3)
        await r.service.users.events.append([event("1", item="i4", time=1e9)])
        second = await r.get(user_id="ann", k=3, cursor=first["next_cursor"])

    assert [item["id"] for item in second["items"]] == ["i3", "i5", "i6"]


async def test_a_deleted_users_cursor_leads_nowhere() -> None:
    async with rig() as r:
        await r.service.users.events.append([event("1", item="i4", time=1e9)])
        first = await r.get(user_id="ann", k=3)
        await r.service.users.events.delete("u:ann")
        for said in ({"user_id": "ann"}, {"user_id": "bob"}, {}):
            with pytest.raises(InvalidRequestError):
                await r.get(k=3, cursor=first["next_cursor"], **said)


async def test_with_candidates_there_is_one_page() -> None:
    async with rig() as r:
        answer = await r.get(candidates=["i1", "i2"], k=1)

    assert answer["next_cursor"] is None
