"""The prompts that a model's own files state, and those that E5 models were trained with."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.offline.encoder.prompts import E5_PROMPTS, Prompts, prompts_of


def loaded(default: str | None = None, **prompts: str) -> SimpleNamespace:
    """A model with the prompts of its files; sentence-transformers adds the two empty ones."""
    stated = {"query": "", "document": ""} | prompts
    return SimpleNamespace(prompts=stated, default_prompt_name=default)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (loaded(), Prompts("", "")),
        (loaded(query="q: "), Prompts("q: ", "")),
        (loaded(query="q: ", document="d: ", passage="p: "), Prompts("q: ", "d: ")),
        (loaded(passage="p: ", corpus="c: "), Prompts("", "p: ")),
        (loaded(corpus="c: "), Prompts("", "c: ")),
        (loaded("any", any="a: "), Prompts("a: ", "a: ")),
        (loaded("any", any="a: ", query="q: "), Prompts("q: ", "a: ")),
    ],
)
def test_prompts_are_those_that_the_model_states(model, expected):
    assert prompts_of(model, "somebody/model") == expected


@pytest.mark.parametrize(
    ("name", "e5"),
    [
        ("intfloat/multilingual-e5-small", True),
        ("intfloat/e5-base-v2", True),
        ("models/multilingual-E5-large", True),
        ("intfloat/multilingual-e5-large-instruct", False),
        ("intfloat/e5-mistral-7b-instruct", False),
        ("somebody/the5-small", False),
        ("all-MiniLM-L6-v2", False),
    ],
)
def test_e5_is_known_by_its_name(name, e5):
    assert (prompts_of(loaded(), name) == E5_PROMPTS) is e5


def test_e5_in_a_folder_of_another_name_is_known_by_its_files(tmp_path: Path):
    assert prompts_of(loaded(), str(tmp_path)) == Prompts("", "")
    card = 'Each input text should start with "query: " or "passage: ".'
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert prompts_of(loaded(), str(tmp_path)) == E5_PROMPTS
    (tmp_path / "README.md").unlink()
    config = {"_name_or_path": "intfloat/multilingual-e5-base"}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert prompts_of(loaded(), str(tmp_path)) == E5_PROMPTS


def test_what_an_e5_model_states_itself_stands():
    assert prompts_of(loaded(query="Query: "), "me/my-e5-small") == Prompts("Query: ", "")
