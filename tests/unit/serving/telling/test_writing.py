"""A draft: what of a model's text is told, and what the template says in its place."""

from app.serving.telling.writing import MOST_SENTENCES, Draft, Told
from tests.telling_rig import facts


def told(text: str, *, complete: bool = True, name: str = "films") -> list[Told]:
    draft = Draft(facts(name))
    found = [each for piece in text.split("|") for each in draft.take(piece)]
    return [*found, *draft.end(complete=complete)]


GLASS = "“The Glass Harbour” is from 1994: Crime, Drama. It fits “crime” and you took “Cold Pier”."
FERRY = "“Night Ferry” is from 1997: Thriller, Crime."
FIRES = "“Small Fires” is from 1991: Comedy, Crime."
LEAD = "4 suggestions for “crime films from the nineties”."


def test_a_true_text_is_told_as_it_is() -> None:
    assert told("Night Ferry is a thr|iller. Small Fires is from 1991.") == [
        Told("Night Ferry is a thriller.", "model"),
        Told("Small Fires is from 1991.", "model"),
    ]


def test_a_lie_is_replaced_by_what_is_true_of_its_item() -> None:
    assert told("Night Ferry is from 1991. The Silver Bridge is good. It is from 1994.") == [
        Told(FERRY, "template"),
        Told(GLASS, "template"),
        Told("It is from 1994.", "model"),
    ]


def test_nothing_is_told_twice() -> None:
    text = "Night Ferry is a thriller. Night Ferry is a thriller. Night Ferry is from 1991."
    assert told(text) == [Told("Night Ferry is a thriller.", "model"), Told(GLASS, "template")]


def test_lies_only_are_the_templates_text_without_its_first_sentence() -> None:
    lies = "The best film. The worst film. A classic. Another classic. A bestseller."
    assert told(lies) == [Told(text, "template") for text in (GLASS, FERRY, FIRES)]


def test_a_text_that_breaks_off_is_completed() -> None:
    assert told("Night Ferry is a thriller. Small", complete=False) == [
        Told("Night Ferry is a thriller.", "model"),
        Told(GLASS, "template"),
        Told(FIRES, "template"),
    ]
    everything = [Told(text, "template") for text in (LEAD, GLASS, FERRY, FIRES)]
    assert told("", complete=False) == told("", complete=True) == everything
    assert told("No end") == everything


def test_a_flood_of_lies_is_judged_no_further() -> None:
    draft = Draft(facts("films"))
    flood = "".join(f"The best film number {n}. " for n in range(10_000)) + "!" * 100_000
    assert len(list(draft.take(flood))) == 3
    assert draft.full


def test_a_long_text_ends() -> None:
    years = " ".join(f"{'You see ' * n}Night Ferry is a thriller." for n in range(20))
    assert len(told(years)) == MOST_SENTENCES
