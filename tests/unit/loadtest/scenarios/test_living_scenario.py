"""The check of `loadtest.scenarios.living` detects each kind of inconsistent answer."""

from loadtest.scenarios.living import Ledger


def judged(ledger: Ledger, *items: tuple[str, str], before: dict[str, int | None]) -> list[str]:
    ledger.wrong.clear()
    answer = {
        "items": [{"id": name, "title": title} for name, title in items],
        "generation": {"bundle": "g1"},
    }
    ledger.judge(answer, before)
    return [name for name, n in ledger.wrong.items() if n]


def test_whole_answers_pass_and_torn_ones_are_named():
    ledger = Ledger(frozenset({"1", "2"}), {"g1": "A", "g2": "B"}, {"x": 2, "y": None})
    before = {"x": 2, "y": None}

    assert judged(ledger, ("1", "A film"), ("x", "L2 tale"), before=before) == []
    assert judged(ledger, ("1", "A film"), ("2", "B film"), before=before) == ["of another bundle"]
    assert judged(ledger, ("1", "B film"), before=before) == ["of another bundle"]
    assert judged(ledger, ("3", "A film"), before=before) == ["unknown"]
    assert judged(ledger, ("y", "L1 tale"), before=before) == ["deleted"]
    assert judged(ledger, ("x", "L1 tale"), before=before) == ["outdated"]


def test_what_was_not_acknowledged_when_it_was_asked_may_be_either():
    ledger = Ledger(frozenset({"1"}), {"g1": "A"}, {"x": 2, "y": None})

    assert judged(ledger, ("x", "L1 tale"), ("y", "L1 tale"), before={"x": 1, "y": 1}) == []
