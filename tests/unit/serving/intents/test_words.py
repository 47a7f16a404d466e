"""The words of queries in the path of requests: what is found, noted, counted and asked next."""

from app.serving.intents.words import Words


def send(words: Words, query: str, caller: str) -> str:
    """What a request finds; words that are noted are counted."""
    found = words.find(query, "b1")
    if found is None:
        words.count(query, caller)
    return found or ""


def noted(*asks: tuple[str, str], **bounds: object) -> Words:
    words = Words(bounds.pop("min_callers", 3), **bounds)
    for query, caller in asks:
        if words.find(query, "b1") is None:
            words.count(query, caller)
        else:
            words.note(query, caller)
    return words


def test_nothing_is_found_of_words_that_nobody_noted() -> None:
    words = Words(1)
    assert send(words, "a", "u:1") == ""
    assert words.next(0.0) is None


def test_words_are_asked_once_enough_different_callers_sent_them() -> None:
    words = noted(("A film", "u:1"), ("a FILM", "u:1"), ("a film", "u:2"), ("a film", "u:2"))
    assert words.next(0.0) is None
    send(words, "a film", "s:1")
    name, note = words.next(0.0)
    assert (name, note.query, note.asked) == ("a film", "A film", 5)
    assert note.callers is None  # only the count is kept
    # It is being asked: nobody else gets it, however often it is sent.
    for caller in ("u:7", "u:8", "u:9"):
        send(words, "a film", caller)
    assert words.next(0.0) is None
    assert note.asked == 8


def test_callers_are_kept_as_salted_digests() -> None:
    kept = []
    for salt in ("1", "2"):
        words = noted(("a", "u:ann@example.org"), salt=salt)
        kept.append(words._noted["a"].callers)
    assert kept[0] != kept[1]
    assert all(isinstance(digest, int) for digests in kept for digest in digests)


def test_the_most_asked_are_asked_first() -> None:
    words = noted(*[("a", "1"), ("b", "1"), ("b", "1"), ("c", "1")], min_callers=1)
    assert [words.next(0.0)[0] for _ in range(3)] == ["b", "a", "c"]


def test_what_failed_waits_its_time() -> None:
    words = noted(("a", "1"), ("b", "1"), ("a", "2"), min_callers=1)
    name, note = words.next(0.0)
    words.put_off(name, note, until=10.0)
    assert words.next(0.0)[0] == "b"
    assert words.next(9.9) is None
    assert words.next(10.0) == ("a", note)


def test_what_was_learned_is_found_in_any_case_and_counted() -> None:
    used: list[None] = []
    words = noted(("Ä film", "1"), min_callers=1, on_used=lambda: used.append(None))
    words.replace({}, "b1")
    words.learn("ä film", '{"sort":"newest"}')
    words.learn("nothing to add", "")
    assert words.waiting == 0
    assert send(words, "Ä FILM", "1") == '{"sort":"newest"}'
    assert send(words, "nothing to add", "1") == ""
    assert len(used) == 1
    assert words.take_uses() == {"ä film": 1, "nothing to add": 1}
    assert words.take_uses() == {}
    words.note("nothing to add", "2")
    assert words.waiting == 0


def test_what_was_checked_for_another_bundle_is_not_used() -> None:
    words = Words(1)
    words.replace({"a": "x"}, "b1")
    assert [words.find("a", bundle) for bundle in ("b1", "b2")] == ["x", ""]
    words.replace({"a": "y"}, "b2")
    assert [words.find("a", bundle) for bundle in ("b1", "b2")] == ["", "y"]
    words.replace({}, "b2")
    assert words.known("a") is None


def test_a_flood_of_new_words_does_not_push_out_what_many_ask() -> None:
    words = noted(*[("often", f"{n}") for n in range(2)], most_noted=10)
    for n in range(1000):
        if n % 4 == 0:
            send(words, "often", "1")
        words.note(f"flood {n}", "1")
    assert len(words._noted) == 10
    send(words, "often", "3")
    assert words.next(0.0)[0] == "often"


def test_a_flood_of_words_that_all_were_asked_often_still_has_a_bound() -> None:
    words = Words(1, most_noted=10, most_ready=4)
    for n in range(100):
        words.note(f"w{n}", "1")
        for _ in range(1000):
            send(words, f"w{n}", "1")
    assert (len(words._noted), words.waiting) == (10, 4)


def test_words_without_room_are_offered_again_when_they_are_sent() -> None:
    words = noted(("a", "1"), ("b", "1"), min_callers=1, most_ready=1)
    assert words.next(0.0)[0] == "a"
    assert words.next(0.0) is None
    send(words, "b", "1")
    assert words.next(0.0)[0] == "b"
