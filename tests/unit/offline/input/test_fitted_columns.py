"""Which column of a file is which field: by the recipe, by our names, by usual names and values."""

import tomllib

import pytest

from app.bundle.reader import open_bundle
from app.core.errors import BadDataError, UsageError
from app.offline.build import build, retrain
from app.offline.input.events import read_events
from app.offline.input.files.readers import format_of
from app.offline.input.fitted_columns import fit_of, sample_of
from app.offline.input.items import read_items
from app.offline.input.judgements import read_judgements
from app.offline.input.recipe import Recipe, load_recipe
from app.offline.input.users import read_users
from tests.bundles import fake_encoder, fake_opened, write_jsonl

NOW = 2e9


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def found(path, content, section, names=None):
    """Return field -> column, and what else was guessed."""
    file_format = format_of(write(path, content))
    recipe = Recipe.model_validate({section: names or {}})
    rows = sample_of(path, file_format, 1000)
    fit = fit_of(section, getattr(recipe, section), file_format, rows)
    return fit.found, {key: v for key, v in fit.guessed.items() if key not in fit.found}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("ID, Title \n1,Oak\n", {"id": "ID", "title": "Title"}),
        ("Id;TITLE;Published At\n1;Oak;1999\n", ["Id", "TITLE", "Published At"]),
        (
            "Handle,Title,Body (HTML),Vendor,Tags,Variant Price\nring,Ring,<p>A ring</p>,A,x,5\n",
            {"id": "Handle", "title": "Title", "text": "Body (HTML)", "categories": "Tags"},
        ),
        (
            "ID,Type,SKU,Name,Published,Short description,Description,Categories\n"
            "4,simple,cap-1,Cap,1,A cap,A warm cap,Hats > Caps\n",
            {"id": "ID", "title": "Name", "text": "Description", "categories": "Categories"},
        ),
        (
            "movieId,title,genres\n1,Heat (1995),Crime|Drama\n",
            {"id": "movieId", "title": "title", "categories": "genres"},
        ),
        (
            "book_id,work_id,isbn,original_publication_year,title\n5,9,044,2008.0,Dune\n",
            {"id": "book_id", "title": "title", "published_at": "original_publication_year"},
        ),
        (
            "budget,genres,id,overview,release_date,title\n9,Drama,7,A heist,1995-12-15,Heat\n",
            {
                "id": "id",
                "title": "title",
                "text": "overview",
                "categories": "genres",
                "published_at": "release_date",
            },
        ),
        ("tconst\tprimaryTitle\tstartYear\ntt1\tHeat\t1995\n", ["tconst", "primaryTitle", 2]),
        ("AppID,Name,About the game\n20,Bowling,A game\n", {"id": "AppID", "title": "Name"}),
        ('"ISBN";"Book-Title";"Year-Of-Publication"\n"044";"Dune";"1965"\n', ["ISBN", 1, 2]),
        (
            "Artikelnummer;Bezeichnung;Beschreibung;Kategorie\n17;Tisch;Massiv;Möbel\n",
            {"id": "Artikelnummer", "title": "Bezeichnung", "text": "Beschreibung"},
        ),
        ("référence,nom,catégorie,prix\nA1,Lampe,Salon,12\n", {"id": "référence", "title": "nom"}),
        (
            "商品编号,商品名称,分类\n1,台灯,灯具\n",
            {"id": "商品编号", "title": "商品名称"},
        ),
        ("артикул;название;категория\nA1;Лампа;Свет\n", {"id": "артикул", "title": "название"}),
        (
            'id,name,Release Date\n1,Oak,"September 25, 2021"\n2,Elm,N/A\n3,Fir,25/09/2021\n',
            {"id": "id", "title": "name", "published_at": "Release Date"},
        ),
        ("url,name\nhttp://x/1,One talk\nhttp://x/2,Another\n", {"id": "url", "title": "name"}),
    ],
)
def test_the_fields_of_items(tmp_path, content, expected):
    fields, _ = found(tmp_path / "a.csv", content, "items")
    if isinstance(expected, list):
        names = content.split("\n")[0].replace('"', "").replace("\t", ";").replace(",", ";")
        header = [name.strip() for name in names.split(";")]
        expected = dict(
            zip(
                ["id", "title", "published_at"],
                [name if isinstance(name, str) else header[name] for name in expected],
                strict=True,
            )
        )
    assert expected.items() <= fields.items()


@pytest.mark.parametrize(
    ("content", "expected", "more"),
    [
        (
            "userId,movieId,rating,timestamp\n1,2,4.0,964982703\n",
            {"user_id": "userId", "item_id": "movieId", "timestamp": "timestamp"},
            {},  # `rating` is known without a guess
        ),
        (
            '"User-ID";"ISBN";"Book-Rating"\n"27";"034";"5"\n',
            {"user_id": "User-ID", "item_id": "ISBN", "value": "Book-Rating"},
            {"default_event": "rating"},
        ),
        (
            "timestamp,visitorid,event,itemid\n1433221332,25,view,35\n1433224214,99,cart,24\n",
            {
                "user_id": "visitorid",
                "item_id": "itemid",
                "event": "event",
                "timestamp": "timestamp",
            },
            {},
        ),
        (
            "event_time,event_type,product_id,user_id,user_session\n"
            "2019-10-01 00:00:00,cart,57,46,26dd\n",
            {"user_id": "user_id", "item_id": "product_id", "event": "event_type"},
            {"session_id": ""},
        ),
        (
            "InvoiceNo,StockCode,Quantity,CustomerID,Country\n53,85A,6,178,UK\n",
            {"user_id": "CustomerID", "item_id": "StockCode"},
            {},
        ),
        (
            "t_dat,customer_id,article_id,price\n2018-09-20,0000,66,0.05\n",
            {"user_id": "customer_id", "item_id": "article_id", "timestamp": "t_dat"},
            {},
        ),
        (
            "Kundennummer;Artikelnummer;Bestelldatum;Menge\n17;10;2024-03-01;2\n",
            {"user_id": "Kundennummer", "item_id": "Artikelnummer", "timestamp": "Bestelldatum"},
            {},
        ),
        (
            "reviewerID,asin,overall,unixReviewTime\nA1,B2,5.0,1400000000\n",
            {"user_id": "reviewerID", "item_id": "asin", "value": "overall"},
            {"default_event": "rating"},
        ),
        (
            "session_id,item_id,search_term\ns1,7,red sofa\n",
            {"session_id": "session_id", "item_id": "item_id", "query": "search_term"},
            {},
        ),
        ("用户,商品,行为\n1,2,购买\n", {"user_id": "用户", "item_id": "商品", "event": "行为"}, {}),
    ],
)
def test_the_fields_of_events(tmp_path, content, expected, more):
    fields, others = found(tmp_path / "a.csv", content, "events")
    assert expected.items() <= fields.items()
    assert others == more


@pytest.mark.parametrize(
    ("content", "section", "expected"),
    [
        ("1::Heat (1995)::Crime|Drama\n2::Up (2009)::Animation|Drama\n", "items", [1, 2, 3]),
        ("7|Oak lamp|1999\n8|Pine shelf|2003\n", "items", [1, 2, None, 3]),
        ("N5\tnews\tworld\tA long day\t7\nN6\thealth\tfood\tEat well\t8\n", "items", [1, 4]),
        ("1::1193::5::978300760\n1::661::3::978302109\n", "events", [1, 2, 3, 4]),
        ("881250949\t196\t242\n891717742\t186\t302\n", "events", [2, 3, None, 1]),
    ],
)
def test_files_without_a_header_are_known_by_their_values(tmp_path, content, section, expected):
    fields, others = found(tmp_path / "a.dat", content, section)
    keys = {
        "items": ["id", "title", "categories", "published_at"],
        "events": ["user_id", "item_id", "value", "timestamp"],
    }[section]
    pairs = zip(keys, expected, strict=False)
    assert fields == {key: f"column_{n}" for key, n in pairs if n is not None}
    assert others == ({"default_event": "rating"} if "value" in fields else {})


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("id,name,published\n1,Oak,1\n2,Pine,0\n", "published_at"),
        ("id,name,published\n1,Oak,TRUE\n2,Pine,FALSE\n", "published_at"),
        ("id,name,class\n1,Oak,1\n2,Pine,3\n", "categories"),
        ("id,title,name\n1,Oak,A\n", "name"),
        ("id,body\n1,17\n2,18\n", "text"),
    ],
)
def test_a_name_is_not_enough_if_the_values_do_not_fit(tmp_path, content, field):
    assert field not in found(tmp_path / "a.csv", content, "items")[0]


def test_of_several_columns_one_that_differs_is_the_id(tmp_path):
    rows = "".join(f"{n % 12},t{n},Song {n}\n" for n in range(40))
    fields, _ = found(tmp_path / "a.csv", "key,track_id,track_name\n" + rows, "items")
    assert fields == {"id": "track_id", "title": "track_name"}


def test_a_recipe_may_spell_columns_otherwise_and_switch_a_guess_off(tmp_path):
    content = "SKU,Product Name,Description\n1,Oak,Long\n"
    names = {"title": "product name", "text": ""}
    fields, _ = found(tmp_path / "a.csv", content, "items", names)
    assert fields == {"id": "SKU", "title": "Product Name"}
    items = read_items(tmp_path / "a.csv", Recipe.model_validate({"items": names}))
    assert items.columns["text"] == [None]
    assert items.columns["Description"] == ["Long"]
    assert items.report.guessed[-1] == '  id = "SKU"'


@pytest.mark.learning
def test_a_build_says_what_it_guessed_and_its_lines_are_a_recipe(tmp_path):
    items = write(tmp_path / "i.csv", "sku,Name,tags,price\n1,Oak,a|b,3\n2,Pine,b,4\n")
    events = write(tmp_path / "e.csv", "customer,sku,action\n7,1,click\n8,2,purchase\n")
    report = build(items, events, Recipe(), tmp_path / "shop", fake_encoder)
    lines = str(report).splitlines()
    guessed = {line.strip() for line in lines}
    assert {'id = "sku"', 'title = "Name"', 'user_id = "customer"', 'event = "action"'} <= guessed
    heading = '  columns guessed; to correct a line, write it in the recipe ("" = none):'
    assert lines.count(heading) == 2
    first = lines.index(heading)
    recipe = "\n".join(lines[first + 1 : first + 5])
    assert tomllib.loads(recipe) == {"items": {"id": "sku", "title": "Name", "categories": "tags"}}
    manifest = open_bundle(tmp_path / "shop").manifest
    assert manifest.recipe["items"] == {"id": "sku", "title": "Name", "categories": "tags"}
    # Filters may name a column that was only guessed.
    assert {"tags", "price", "categories"} <= manifest.attributes.keys()
    assert (
        retrain(tmp_path / "shop", events, open_encoder=fake_opened).bundle.manifest.n_events == 2
    )


@pytest.mark.learning
def test_a_text_may_name_a_column_that_was_guessed_also_when_trained_again(tmp_path):
    items = write(tmp_path / "i.csv", "sku,name,brand\n1,Oak,Acme\n")
    events = write(tmp_path / "e.csv", "user,item\n7,1\n")
    write(tmp_path / "r.toml", 'text = "{name} by {brand}"\n')
    build(items, None, load_recipe(tmp_path / "r.toml"), tmp_path / "shop", fake_encoder)
    assert (
        retrain(tmp_path / "shop", events, open_encoder=fake_opened).bundle.manifest.n_events == 1
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "no column is known as the id. It has 'a', 'b' (read as: comma, UTF-8"),
        ("Idd,b\nx,2\n", '[items] id = "Idd"'),
        ("price;colour\n1;2\n", "(read as: semicolon, UTF-8, 2 columns)"),
    ],
)
def test_items_without_an_id_are_refused_with_one_message(tmp_path, content, message):
    with pytest.raises(BadDataError) as refused:
        read_items(write(tmp_path / "a.csv", content), Recipe())
    assert message in str(refused.value)


def test_other_files_without_a_field_are_refused_with_one_message(tmp_path):
    lines = write(tmp_path / "a.csv", "who?,thingy,when\nx,y,2024-01-01\n")
    with pytest.raises(BadDataError) as refused:
        read_events(lines, Recipe(), NOW)
    assert str(refused.value).startswith("a.csv: no column is known as the user and the item. It ")
    assert '[events] user_id = "' in str(refused.value)
    with pytest.raises(BadDataError, match="known as the id"):
        read_users(lines, Recipe())
    with pytest.raises(BadDataError, match="known as the query and the item and the grade"):
        read_judgements(lines, Recipe(), [])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            {"id": "skuu"},
            "items.id names the column 'skuu', which a.csv does not have. "
            "It has 'name', 'price', 'sku'; nearest: id = \"sku\"",
        ),
        (
            {"title": "Nmae", "id": "zzz", "text": "prize"},
            "items.id names the column 'zzz', items.text names the column 'prize', items.title "
            "names the column 'Nmae', which a.csv does not have. It has 'name', 'price', 'sku'; "
            'nearest: text = "price", title = "name"',
        ),
        ({"text": "zzz"}, "It has 'name', 'price', 'sku'"),
    ],
)
def test_a_recipe_that_names_an_unknown_column_is_told_the_nearest(tmp_path, names, message):
    path = write(tmp_path / "a.csv", "sku,name,price\n1,Oak,2\n")
    with pytest.raises(UsageError) as refused:
        read_items(path, Recipe.model_validate({"items": names}))
    assert message in str(refused.value)


def test_the_context_and_attributes_of_a_recipe_may_be_spelled_otherwise(tmp_path):
    events = write(tmp_path / "e.csv", "user,item,Device Type\n1,a,phone\n")
    recipe = Recipe.model_validate({"events": {"context": {"device": "device_type"}}})
    assert len(read_events(events, recipe, NOW)) == 1
    users = write(tmp_path / "u.csv", "Customer ID,Country,Age\n1,NZ,31\n")
    recipe = Recipe.model_validate({"users": {"attributes": ["country"]}})
    assert read_users(users, recipe).columns == {"Country": ["NZ"]}


def test_ratings_of_a_guessed_column_are_ratings(tmp_path):
    log = read_events(
        write(tmp_path / "e.csv", "User-ID;ISBN;Book-Rating\n1;a;5\n2;b;0\n"), Recipe(), NOW
    )
    assert [log.kinds[kind] for kind in log.event] == ["rating", "rating"]
    assert log.value.tolist() == [5.0, 0.0]


def test_roles_may_be_spelled_otherwise_and_name_the_nearest(tmp_path):
    items = write(tmp_path / "i.csv", "id,title,List Price\n1,Oak,3\n")
    recipe = Recipe.model_validate({"roles": {"price": "list_price"}})
    manifest = build(items, None, recipe, tmp_path / "shop", fake_encoder).bundle.manifest
    assert manifest.roles == {"price": "List Price"}
    recipe = Recipe.model_validate({"roles": {"price": "lst prices"}})
    with pytest.raises(UsageError, match=r"have no column 'lst prices'.*nearest: 'List Price'"):
        build(items, None, recipe, tmp_path / "shop", fake_encoder)


def test_rows_of_json_may_have_a_column_later(tmp_path):
    rows = [{"id": n, "title": "x"} for n in range(1500)] + [{"id": 9000, "colour": "red"}]
    recipe = Recipe.model_validate({"items": {"text": "colour"}})
    items = read_items(write_jsonl(tmp_path / "i.jsonl", rows), recipe)
    assert items.columns["text"][-1] == "red"


@pytest.mark.parametrize("column", ["Released", "Year of publication", "Date de parution"])
@pytest.mark.parametrize("lost", ["soon", "0", "-700"])
def test_a_column_named_as_dates_is_one_where_half_of_it_are_dates(tmp_path, column, lost):
    content = f"id,{column}\n1,1999\n2,{lost}\n3,2004\n4,{lost}\n"
    assert found(tmp_path / "a.csv", content, "items")[0]["published_at"] == column
    more = f"id,{column}\n1,{lost}\n2,{lost}\n3,2004\n"
    named = found(tmp_path / "b.csv", more, "items")[0].get("published_at")
    assert named == (None if lost == "soon" else column)
    none = f"id,{column}\n1,{lost}\n2,1\n3,0\n"
    assert "published_at" not in found(tmp_path / "c.csv", none, "items")[0]


def test_columns_of_web_analytics_are_known(tmp_path):
    content = "event_date,event_name,user_pseudo_id,item_id\n20240115,purchase,12.34,A1\n"
    assert found(tmp_path / "a.csv", content, "events")[0] == {
        "user_id": "user_pseudo_id",
        "item_id": "item_id",
        "event": "event_name",
        "timestamp": "event_date",
    }


@pytest.mark.parametrize("column", [" Published_At ", "PUBLISHED AT", "publishedAt"])
def test_our_own_name_is_known_in_any_spelling_whatever_the_values(tmp_path, column):
    content = f"ID;{column}\n1;975\n2;0\n3;2020\n"
    assert found(tmp_path / "a.csv", content, "items")[0]["published_at"] == column.strip()


@pytest.mark.parametrize(("kind", "event"), [("buy", True), ("Add to Cart", True), ("red", False)])
def test_a_column_of_usual_kinds_of_events_needs_no_name(tmp_path, kind, event):
    rows = [("1", "22", "blue", "1511544070"), ("2", "23", kind, "1511544071")]
    fields, _ = found(tmp_path / "a.csv", "".join(",".join(r) + "\n" for r in rows), "events")
    assert fields.get("event") == ("column_3" if event else None)
    assert (fields["user_id"], fields["item_id"]) == ("column_1", "column_2")


@pytest.mark.parametrize("item", ["artist", "Track", "song"])
def test_what_is_played_is_the_item(tmp_path, item):
    fields, _ = found(tmp_path / "a.csv", f"user,{item},plays\nu1,Muse,100\nu2,Muse,3\n", "events")
    assert fields == {"user_id": "user", "item_id": item}


@pytest.mark.parametrize("column", ["google product category", "Category Path", "breadcrumbs"])
def test_columns_of_paths_are_categories(tmp_path, column):
    content = f"id\ttitle\t{column}\n1\tMug\tHome & Garden > Kitchen\n2\tCap\tClothing\n"
    assert found(tmp_path / "a.txt", content, "items")[0]["categories"] == column
    categories = read_items(tmp_path / "a.txt", Recipe()).columns["categories"]
    assert categories == [("Home & Garden", "Kitchen"), ("Clothing",)]


@pytest.mark.parametrize(("wrong", "is_time"), [(1, True), (2, True), (3, False)])
def test_times_of_events_are_known_where_half_of_them_can_be_read(tmp_path, wrong, is_time):
    cells = ["never"] * wrong + ["2024-01-05"] * (4 - wrong)
    content = "user;item;order date\n" + "".join(f"u{n};A;{cell}\n" for n, cell in enumerate(cells))
    fields, _ = found(tmp_path / "a.csv", content, "events")
    assert fields.get("timestamp") == ("order date" if is_time else None)
