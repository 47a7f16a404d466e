"""`recserve compact`, `export` and `import` on the embedded store."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from app.bundle.reader import open_bundle
from app.cli import main
from app.core.types import Attributes, Event
from app.offline.build import build
from app.offline.input.recipe import Recipe, load_recipe
from app.serving.stores.sqlite_store import SqliteEventStore
from tests.bundles import fake_encoder, write_jsonl
from tests.event_stores import NOW, content

HERE = (("hour", 14.0), ("new", True))
EVENTS = [
    Event("e1", "u:ann", "a", "click", NOW, query="red sofa", context=HERE),
    Event("e2", "s:最新", "b|c", "rating", NOW + 0.123456, 4.5, "r1"),
]


def opened(folder: Path, namespace: str = "demo") -> SqliteEventStore:
    return SqliteEventStore(folder / "store.sqlite", namespace=namespace)


async def filled(folder: Path, events: list[Event], namespace: str = "demo") -> None:
    store = opened(folder, namespace)
    await store.append(events)
    await store.aclose()


async def held(folder: Path, namespace: str = "demo") -> list[Event]:
    store = opened(folder, namespace)
    found = [event async for part in store.scan() for event in part]
    await store.aclose()
    return found


def run(*arguments: object) -> int:
    return main(list(map(str, arguments)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def sync(coroutine):
    return asyncio.run(coroutine)


def test_what_is_exported_can_be_imported_and_imported_again(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sync(filled(data, EVENTS))
    out = tmp_path / "events.jsonl"
    assert run("export", "events", "--out", out, "--data-dir", data) == 0
    assert "2 events exported" in capsys.readouterr().err

    other = tmp_path / "other"
    for imported in ("2 events", "0 events"):
        assert run("import", "events", out, "--data-dir", other) == 0
        assert f"{imported} imported" in capsys.readouterr().out
    assert sync(held(other)) == EVENTS


async def put(folder: Path, attributes: dict[str, Attributes]) -> None:
    store = opened(folder)
    for user, some in attributes.items():
        await store.put_attributes(user, some)
    await store.aclose()


async def named(folder: Path) -> dict[str, Attributes]:
    store = opened(folder)
    found = {user: some async for part in store.scan_attributes() for user, some in part}
    await store.aclose()
    return found


def test_users_that_are_exported_can_be_imported(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people: dict[str, Attributes] = {
        "u:ann": (("age", 31.0), ("likes", ("tea", "最新")), ("new", True)),
        "u:a:b": (("country", "NZ"),),
        "u:empty": (),
        "u:shopA\x1fann": (("age", 7.0),),
    }
    sync(put(data, people))
    out = tmp_path / "users.jsonl"
    assert run("export", "users", "--out", out, "--data-dir", data) == 0
    assert "4 users exported" in capsys.readouterr().err

    other = tmp_path / "other"
    sync(put(other, {"u:ann": (("city", "x"),), "u:carl": (("city", "y"),)}))
    assert run("import", "users", out, "--data-dir", other) == 0
    assert "4 users imported" in capsys.readouterr().out
    assert sync(named(other)) == {**people, "u:carl": (("city", "y"),)}


def test_a_mostly_wrong_file_of_users_imports_nothing(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    users = write_jsonl(tmp_path / "users.jsonl", [{"id": 1, "a": 1}, {"a": 1}, {"a": 2}])
    assert run("import", "users", users, "--data-dir", data) == 3
    assert "2 of 3 rows" in capsys.readouterr().err
    assert sync(named(data)) == {}


def test_events_go_to_standard_output_and_nothing_else_does(
    data: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    sync(filled(data, EVENTS))
    assert run("export", "events", "--data-dir", data) == 0
    lines = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]

    assert [line["item_id"] for line in lines] == ["a", "b|c"]
    assert lines[1]["session_id"] == "最新"


def test_a_foreign_file_is_imported_by_its_recipe_and_again_without_doubling(
    tmp_path: Path, data: Path
) -> None:
    log = tmp_path / "log.csv"
    log.write_text("who,film,stars\n7,a,5\n7,a,5\n8,b,\n")
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[events]\nuser_id = "who"\nitem_id = "film"\nvalue = "stars"\ndefault_event = "rating"\n'
    )
    for _ in range(2):
        assert run("import", "events", log, "--recipe", recipe, "--data-dir", data) == 0

    found = sync(held(data))
    assert [(e.user, e.item, e.kind, e.value) for e in found] == [
        ("u:7", "a", "rating", 5.0),
        ("u:7", "a", "rating", 5.0),
        ("u:8", "b", "rating", None),
    ]


def test_a_mostly_wrong_file_imports_nothing(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"user_id": "a", "item_id": "b"}, {"user_id": "a"}, {"item_id": "b"}]
    log = write_jsonl(tmp_path / "log.jsonl", rows)

    assert run("import", "events", log, "--data-dir", data) == 3
    assert "item_id is missing" in capsys.readouterr().err
    assert not data.exists()


def test_an_import_says_what_it_made_of_a_file(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        "user_id,item_id,event,stars,timestamp,page\n"
        "7,a,,0.5,2024-01-01,1\n7,b,purchaes,,2024-01-02,2\n7,c,click,,2099-01-01,3\n"
    )
    assert run("import", "events", log, "--data-dir", data) == 0
    lines = capsys.readouterr().out.splitlines()

    found = sync(held(data))
    assert [(e.item, e.kind, e.value) for e in found] == [
        ("a", "rating", 0.5),
        ("b", "purchaes", None),
    ]
    assert lines == [
        "2 events imported",
        "log.csv: 3 rows, 1 unusable, 0 duplicates",
        "  read as: comma, UTF-8, 6 columns",
        "  1 × timestamp lies more than a day ahead",
        "    line 4: timestamp lies more than a day ahead",
        "  column 'stars' was read as the value of 1 ratings; a value from 3.5 is positive",
        "  columns that were not used: 'page'",
        "  warning: 1 × events of kind 'purchaes' have no rule, so they shape nothing; "
        "nearest kind: 'purchase'",
    ]


def test_a_clock_ahead_is_cut_and_the_file_can_be_imported_again(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = time.time()
    rows = [{"user_id": "a", "item_id": "b", "timestamp": before + 3600}]
    log = write_jsonl(tmp_path / "log.jsonl", rows)
    for imported in ("1 events", "0 events"):
        assert run("import", "events", log, "--data-dir", data) == 0
        assert f"{imported} imported" in capsys.readouterr().out

    (found,) = sync(held(data))
    assert before <= found.time <= time.time()


def test_compact_applies_the_retention_of_the_settings(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = [Event(f"old{n}", "u:oldname", "a", "click", NOW - n) for n in range(20)]
    sync(filled(data, many))
    flags = ("--data-dir", data, "--store-events-per-kind", 5)
    assert run("compact", *flags) == 0

    assert "15 events dropped" in capsys.readouterr().out
    assert len(sync(held(data))) == 5
    assert run("compact", "--data-dir", data, "--store-max-age-days", 1) == 0
    assert b"oldname" not in content(data)


def test_what_was_done_is_one_json_object(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"user_id": "a", "item_id": "b", "event_id": "1"}, {"user_id": "a"}, {"id": 1}] * 2
    rows += [{"user_id": "a", "item_id": f"{n}"} for n in range(4)]
    log = write_jsonl(tmp_path / "log.jsonl", rows)
    assert run("import", "events", log, "--data-dir", data, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["imported"], facts["what"]) == (5, "events")
    (read,) = facts["read"]
    assert (read["file"], read["rows"], read["rejected"], read["duplicates"]) == (
        "log.jsonl",
        10,
        4,
        1,
    )
    assert sum(read["reasons"].values()) == 4

    out = tmp_path / "events.jsonl"
    assert run("export", "events", "--out", out, "--data-dir", data, "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"exported": 5, "what": "events", "file": str(out)}
    assert run("export", "events", "--data-dir", data, "--json") == 2
    shown = capsys.readouterr()
    assert "--json needs --out FILE" in shown.err
    assert json.loads(shown.out)["error"]["code"] == "usage"


def test_a_bundle_has_events_of_its_own(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write_jsonl(tmp_path / "log.jsonl", [{"user_id": "a", "item_id": "b", "event_id": "1"}])
    flags = ("--data-dir", data, "--bundle")
    for bundle in ("models/films", "models/shop"):
        assert run("import", "events", log, *flags, bundle) == 0
        assert "1 events imported" in capsys.readouterr().out
    assert run("compact", *flags, "models/shop", "--store-max-age-days", 1) == 0
    assert [len(sync(held(data, name))) for name in ("films", "shop", "demo")] == [1, 1, 0]

    assert run("export", "events", *flags, "models/films") == 0
    assert b'"item_id":"b"' in capsys.readouterr().out.encode()
    assert run("export", "events", *flags, "models/other") == 0
    said = capsys.readouterr()
    assert (said.out, "0 events exported" in said.err) == ("", True)
    assert run("export", "events", *flags, "models/other", "--store-namespace", "shop") == 0
    assert "1 events exported" in capsys.readouterr().err


def test_a_misspelt_folder_is_told_to_have_no_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "daat"
    assert run("export", "events", "--data-dir", folder) == 0
    assert "0 events exported" in capsys.readouterr().err
    made = f"there is no event store {folder / 'store.sqlite'} yet: an empty one is made"
    assert caplog.messages == [made]


def test_without_a_bundle_named_the_only_one_with_events_is_meant(
    data: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    flags = ("--data-dir", data)
    sync(filled(data, EVENTS, "shop"))
    assert run("export", "events", *flags) == 0
    assert "2 events exported" in capsys.readouterr().err
    assert caplog.messages == [
        "no bundle was named: these are the events of 'shop', the only ones there"
    ]
    assert run("compact", *flags, "--store-max-age-days", 1) == 0
    assert "2 events dropped" in capsys.readouterr().out

    for name in ("shop", "films"):
        sync(filled(data, EVENTS, name))
    assert run("export", "events", *flags) == 2
    assert "events of 'films', 'shop': name one of these" in capsys.readouterr().err
    sync(filled(data, EVENTS[:1], "demo"))  # the bundle of the default
    assert run("export", "events", *flags) == 0
    assert "1 events exported" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("export", "events", "--out", "x.csv"), 2, "JSON Lines"),
        (("export", "users", "--out", "x.csv"), 2, "JSON Lines"),
        (("export", "events", "--out", "absent/x.jsonl"), 1, "absent"),
        (("import", "events", "absent.jsonl"), 3, "absent.jsonl"),
        (("import", "events", "."), 3, "not a file"),
        (("compact", "--store-url", "sqlite:////proc/nothing/x"), 1, "cannot be made"),
        (("compact", "--store-url", "mysql://x"), 2, "store_url"),
        (("compact", "--store-url", "redis://127.0.0.1:1/0"), 1, "cannot be read or written"),
    ],
)
def test_mistakes_end_with_a_code_and_a_message(
    data: Path,
    arguments: tuple[str, ...],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(*arguments, "--data-dir", data) == code
    assert message in capsys.readouterr().err


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    items = [{"id": name, "title": f"thing {name}"} for name in "abc"]
    log = [{"who": "ann", "what": "a", "event_id": "old"}]
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[events]\nuser_id = "who"\nitem_id = "what"\n')
    build(
        write_jsonl(tmp_path / "items.jsonl", items),
        write_jsonl(tmp_path / "log.jsonl", log),
        load_recipe(recipe),
        tmp_path / "shop",
        fake_encoder,
    )
    return tmp_path / "shop"


@pytest.mark.learning
def test_a_bundle_is_trained_from_what_was_collected(
    shop: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sync(filled(data, EVENTS, "shop"))
    sync(filled(data, [Event("e9", "u:other", "c", "click", NOW)]))  # of another bundle
    flags = ("train", "--bundle", shop, "--events-from-store", "--data-dir", data)
    assert run(*flags) == 0
    assert (open_bundle(shop).manifest.n_users, open_bundle(shop).manifest.n_events) == (2, 2)

    # With the log that it was built from, in its own columns; "e1" is in both and counts once.
    log = [{"who": "ann", "what": "a", "event_id": "e1"}, {"who": "bob", "what": "b"}]
    capsys.readouterr()
    assert run(*flags, "--events", write_jsonl(tmp_path / "log.jsonl", log)) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1:3] == [
        "log.jsonl: 2 rows, 0 unusable, 0 duplicates",
        "  read as: JSON Lines, UTF-8",
    ]
    assert (open_bundle(shop).manifest.n_users, open_bundle(shop).manifest.n_events) == (3, 3)


def visits() -> list[Event]:
    """600 visits to the ring a … z; of every page one item is taken, and two are left."""
    ring = "abcdefghijklmnopqrstuvwxyz"
    found = []
    for start, visit in enumerate(f"v{n}" for n in range(600)):
        for step in range(5):
            page = [ring[(start + step + ahead) % 26] for ahead in (0, 9, 17)]
            named = (NOW + start * 10 + step, None, f"{visit}p{step}")
            found += [
                Event(f"{named[2]}{item}", f"s:{visit}", item, "impression", *named)
                for item in page
            ]
            found.append(Event(named[2], f"s:{visit}", page[0], "click", *named))
    return found


@pytest.mark.learning
def test_what_the_service_showed_is_learned_from(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the store into the examples: who saw what beside the item that they took."""
    items = [{"id": name, "title": f"thing {name}"} for name in "abcdefghijklmnopqrstuvwxyz"]
    catalogue, shop = write_jsonl(tmp_path / "items.jsonl", items), tmp_path / "shop"
    build(catalogue, None, Recipe(), shop, fake_encoder)
    flags = ("train", "--bundle", shop, "--events-from-store", "--data-dir", data)

    sync(filled(data, visits(), "shop"))
    assert run(*flags) == 0
    learned = open_bundle(shop).manifest.learned
    assert learned is not None
    assert learned.metrics["shown"] == learned.metrics["history_examples"] >= 500
    assert "600 of the examples with what was shown" in capsys.readouterr().out


def test_there_must_be_something_to_learn_from(
    shop: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", "--bundle", shop) == 2
    assert "--events-from-store" in capsys.readouterr().err
    assert run("train", "--bundle", shop, "--events-from-store", "--data-dir", data) == 3
    assert "contains no events" in capsys.readouterr().err
    empty = data / "empty.jsonl"
    empty.write_bytes(b"")
    before = (shop / "current").readlink()
    assert run("train", "--bundle", shop, "--events", empty) == 3
    assert "empty.jsonl contains no events to learn from" in capsys.readouterr().err
    assert (shop / "current").readlink() == before
