"""Codes of who and where: which values get one, and that files and serving agree on them."""

import numpy as np

from app.domain.named_values import attributes_of, bucketed, context_of
from app.engine.catalogue.side_values import SideVocabulary
from app.offline.build import build
from app.offline.input.events import read_events
from app.offline.input.recipe import Recipe
from app.offline.input.users import Users, read_users
from app.offline.learning.sides import sides_of
from tests.bundles import fake_encoder, write_jsonl
from tests.who_where import COUNTRIES, who_where

NOW = 1_800_000_000.0


def read(tmp_path, users, events):
    log = read_events(write_jsonl(tmp_path / "events.jsonl", events), Recipe(), NOW)
    return log, read_users(write_jsonl(tmp_path / "users.jsonl", users), Recipe())


def test_every_user_and_event_of_the_planted_catalogue_has_its_codes(tmp_path):
    rows = who_where(n_users=400)
    log, users = read(tmp_path, rows.users, rows.events)
    sides = sides_of(log, users)

    assert [text for name, text in sides.attributes.entries if name == "country"] == [*COUNTRIES]
    assert sides.names == ("device", "hour")
    assert {text for name, text in sides.context.entries} == {
        *("phone", "desk"),
        *(f"{hour}" for hour in range(24)),
    }
    country_of = {f"u:{user['id']}": user["country"] for user in rows.users}
    for code, key in enumerate(log.users):
        country = sides.attributes.code("country", country_of[key])
        assert country in sides.of_user(code).tolist()
    codes = sides.of_events(np.arange(len(log)))
    assert codes.dtype == np.int32
    for row, event in zip(codes.tolist(), rows.events, strict=True):
        context = event["context"]
        assert [sides.context.entries[code] for code in row] == [
            ("device", context["device"]),
            ("hour", f"{context['hour']}"),
        ]
    some = np.array([7, 3, 7])
    assert sides.of_events(some).tolist() == codes[some].tolist()


def test_what_few_have_is_unknown_and_lists_have_a_code_for_each_text(tmp_path):
    people = [
        {"id": 1, "likes": ["tea", "rare"], "age": 31.4, "new": True},
        {"id": 2, "likes": ["tea", "jam"], "age": 30.6, "new": False},
        {"id": 3, "likes": ["jam"], "age": 99},
    ]
    events = [
        {"user_id": 2, "item_id": "i", "context": {"hour": 14, "os": "a"}},
        {"user_id": "stranger", "item_id": "i"},
        {"user_id": 1, "item_id": "i", "context": {"hour": "14", "os": "b"}},
        {"user_id": 1, "item_id": "i", "context": {"hour": 15, "new": True}},
        {"user_id": 1, "item_id": "i", "context": {"new": "true"}},
    ]
    log, users = read(tmp_path, people, events)
    sides = sides_of(log, users, least=2)

    assert sides.attributes.entries == (("age", "31"), ("likes", "jam"), ("likes", "tea"))
    by_key = {key: sides.of_user(code).tolist() for code, key in enumerate(log.users)}
    assert by_key == {"u:2": [0, 2, 1], "u:stranger": [], "u:1": [0, 2]}
    assert sides.context.entries == (("hour", "14"), ("new", "true"))
    assert sides.names == ("hour", "new", "os")
    assert sides.of_events(np.arange(5)).tolist() == [
        [0, -1, -1],
        [-1, -1, -1],
        [0, -1, -1],
        [-1, 1, -1],
        [-1, 1, -1],
    ]


def test_numbers_of_many_values_have_codes_for_ranges(tmp_path):
    people = [{"id": n, "age": 18 + n % 60, "rank": n % 3, "name": f"n{n}"} for n in range(600)]
    _, users = read(tmp_path, people, [{"user_id": 1, "item_id": "i"}])
    events, _ = read(tmp_path, people, [{"user_id": n, "item_id": "i"} for n in range(600)])
    sides = sides_of(events, users)
    ages = [text for name, text in sides.attributes.entries if name == "age"]
    assert ages == [
        *("18..25", "25..32", "32..40", "40..47"),
        *("47..55", "55..62", "62..70", "70..77"),
    ]
    assert [text for name, text in sides.attributes.entries if name == "rank"] == ["0", "1", "2"]
    code_of = {text: sides.attributes.code("age", text) for text in ages}
    counts = np.bincount(sides.user_codes, minlength=len(sides.attributes))
    assert min(counts[code] for code in code_of.values()) >= 70
    right = {5: "18..25", 18: "18..25", 24.9: "18..25", 25: "25..32", 99: "70..77"}
    for age, text in right.items():
        assert sides.attributes.codes(attributes_of({"age": age})) == [code_of[text]]
    assert sides.attributes.codes(attributes_of({"age": "young"})) == []


def test_serving_finds_the_codes_of_what_a_request_says():
    vocabulary = SideVocabulary([("hour", "14"), ("age", "31"), ("likes", "tea"), ("new", "true")])
    said = bucketed(context_of({"hour": 14.2, "new": True, "os": "a"}))
    assert [vocabulary.entries[code] for code in vocabulary.codes(said)] == [
        ("hour", "14"),
        ("new", "true"),
    ]
    who = attributes_of({"age": 31, "likes": ["jam", "tea"], "country": "NZ"})
    assert [vocabulary.entries[code][0] for code in vocabulary.codes(who)] == ["age", "likes"]


def test_without_attributes_and_contexts_there_is_nothing(tmp_path):
    log, _ = read(tmp_path, [{"id": 1}], [{"user_id": 1, "item_id": "i"}] * 2)
    sides = sides_of(log, Users.none())
    assert (len(sides.attributes), len(sides.context), sides.names) == (0, 0, ())
    assert (sides.of_user(0).size, sides.of_events(np.arange(2)).shape) == (0, (2, 0))


def test_a_bundle_gives_the_codes_that_its_file_gave(tmp_path):
    people = [{"id": n, "age": 30 + n % 2, "likes": ["tea"], "new": n < 2} for n in range(4)]
    log, users = read(tmp_path, people, [{"user_id": n, "item_id": "i"} for n in range(4)])
    items = write_jsonl(tmp_path / "items.jsonl", [{"id": "i", "title": "thing"}])
    bundle = build(
        items, None, Recipe(), tmp_path / "x", fake_encoder, users=tmp_path / "users.jsonl"
    ).bundle
    again = sides_of(log, Users.of_bundle(bundle), least=2)
    sides = sides_of(log, users, least=2)
    assert again.attributes.entries == sides.attributes.entries
    assert again.user_codes.tolist() == sides.user_codes.tolist() != []
