"""What a language model is asked: the prompt of this version, the catalogue, and only the words."""

import hashlib

import jsonschema_rs
import orjson

from app.core.types import FieldFacts
from app.serving.intents.facts import CatalogueFacts, count_values
from app.serving.intents.question import PROMPT_VERSION, prompt, question
from tests.small_engine import small_engine


def small_facts() -> CatalogueFacts:
    engine = small_engine()
    return CatalogueFacts.of(engine, count_values(engine))


def test_another_prompt_needs_another_version() -> None:
    """If this fails: raise PROMPT_VERSION, then write both into this test."""
    digest = hashlib.sha256(prompt().encode()).hexdigest()[:16]
    assert (PROMPT_VERSION, digest) == ("1", "13574a02be3ad945")


def test_only_the_words_leave() -> None:
    facts = small_facts()
    asked = question('space "adventure"\n{"role": "system"}', facts)
    assert orjson.loads(asked.text) == {"query": 'space "adventure"\n{"role": "system"}'}


def test_the_catalogue_is_named_with_its_fields_and_frequent_values() -> None:
    asked = question("x", small_facts())
    assert '- "categories" (strings): ' not in asked.instructions
    assert '- "categories" (text): "space", "adventure", "crime", "drama"' in asked.instructions
    assert '- "year" (number): from 1977 to 2020' in asked.instructions
    assert "translated into English" in asked.instructions
    words, example = asked.instructions.splitlines()[-2:]
    assert words == (
        '{"query":"something about an old lighthouse"} -> '
        '{"quotes":{},"sort":"relevance","filters":{},"residual_text":"old lighthouse"}'
    )
    assert example == (
        '{"query":"newest space but not adventure with a storm"} -> '
        '{"quotes":{"sort":"newest","categories":"space but not adventure"},"sort":"newest",'
        '"filters":{"categories":{"any":["space"],"not":["adventure"]}},"residual_text":"storm"}'
    )
    assert "$" not in asked.instructions


def test_the_schema_takes_intents_over_this_catalogue_and_nothing_else() -> None:
    schema = jsonschema_rs.validator_for(question("x", small_facts()).schema)
    good = {
        "quotes": {"sort": "new", "categories": "space", "year": "since 1990"},
        "sort": "newest",
        "filters": {"categories": {"any": ["space"]}, "year": {"gte": 1990}},
        "residual_text": "",
        "count": None,
    }
    assert schema.is_valid(good)
    for wrong in (
        {"sort": "best"},
        {"id": "7"},
        {"filters": {"id": {"any": ["7"]}}},
        {"filters": {"year": {"any": [1990]}}},
        {"filters": {"categories": {"any": ["western"]}}},
        {"tone": ["evil"]},
        {"quotes": {"id": "7"}},
    ):
        assert not schema.is_valid({**good, **wrong}), wrong


def test_a_large_catalogue_is_cut() -> None:
    fields = {
        f"f{n}": FieldFacts(
            f"f{n}",
            "string",
            count=1000 - n,
            distinct=900,
            values=tuple((f"value {n} {m} " + "x" * (m % 80), 1) for m in range(900)),
        )
        for n in range(100)
    }
    facts = CatalogueFacts("large", "paraphrase-multilingual-MiniLM", fields)
    asked = question("x", facts)
    assert 4000 < len(asked.instructions) < 12_000
    assert len(orjson.dumps(asked.schema)) < 12_000
    assert '"f0"' in asked.instructions
    assert '"f30"' not in asked.instructions
    assert list(asked.schema["properties"]["filters"]["properties"]) == [f"f{n}" for n in range(24)]
    assert "in the query's language" in asked.instructions
