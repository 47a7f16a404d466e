"""What is counted of a language model, and the endpoint that answers with labels."""

import pytest

from app.core.types import ModelQuestion
from app.evaluation.intents.labels import LabelledQuery
from app.language_model.endpoint import HttpLanguageModel
from loadtest.runners.label_endpoint import label_endpoint
from loadtest.scenarios.mending import Mended, Taught, right_answers


def label(query: str = "q", **intent: object) -> LabelledQuery:
    return LabelledQuery(
        "f1", "films", query, "en", adversarial=False, half="open", intents=(intent,)
    )


def test_shares_are_of_what_was_weak_and_wrong() -> None:
    weak = [
        Mended(label(), before, after, learned=True)
        for before, after in ((2, 0), (1, 0), (3, 1), (0, 0), (0, 1), (1, 2))
    ]
    shown = Taught(60, weak).shown()
    assert (shown["weak"], shown["weak_share"], shown["weak_and_wrong"]) == (6, 0.1, 4)
    assert (shown["mended"], shown["mended_share"], shown["better"]) == (2, 0.5, 3)
    assert (shown["worse"], shown["worse_share"]) == (2, 0.3333)


def test_nothing_weak_has_no_share() -> None:
    shown = Taught(5, []).shown()
    assert (shown["weak"], shown["mended_share"], shown["worse_share"]) == (0, None, None)
    assert Taught(0, []).shown()["weak_share"] is None


def test_a_model_that_is_right_names_items_by_their_titles() -> None:
    said = right_answers([label(" More  like Alien", like=["Alien"], residual="more")])
    assert said == {"More like Alien": {"like": ["Alien"], "filters": {}, "residual_text": "more"}}


@pytest.mark.parametrize(("query", "answer"), [("q", {"sort": "newest"}), ("other", {})])
async def test_the_endpoint_answers_each_query_with_its_intent(
    query: str, answer: dict[str, str]
) -> None:
    with label_endpoint({"q": {"sort": "newest"}}) as url:
        model = HttpLanguageModel(url, "m", None, 10.0)
        question = ModelQuestion("", f'{{"query": "{query}"}}', {})
        assert (await model.ask(question)).content == answer
        await model.aclose()
