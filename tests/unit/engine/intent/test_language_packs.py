"""Language packs: what is wrong in one is an error that says where; they come with the program."""

from pathlib import Path

import pytest

from app.domain.intent import SPOKEN_SORTS, TONES
from app.engine.intent import phrases
from app.engine.intent.packs import PackError, pack_of, packs, read_pack
from app.engine.intent.phrases import phrase_books, tokens_of

GOOD = 'code = "xx"\nname = "X"\nscript = "latin"\n'


def test_the_packs_of_the_program_are_sound() -> None:
    codes = [pack.code for pack in packs()]
    assert codes[0] == "any"
    assert {"en", "zh", "es"} <= set(codes)
    assert list(phrase_books())[:2] == ["en", "es"]


@pytest.mark.parametrize("code", ["en", "zh"])
def test_a_main_language_says_every_sort_and_tone(code: str) -> None:
    pack = next(pack for pack in packs() if pack.code == code)
    assert set(pack.section("sort")) == set(SPOKEN_SORTS) - {"relevance"}
    assert set(pack.section("tone")) == set(TONES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("code = ", "x.toml"),
        ('name = "X"', "x.toml: 'code' must be a text"),
        (GOOD + "[colours]\nred = []", "x.toml: there is no section 'colours'"),
        (GOOD + '[sort]\nnewst = ["new"]', "x.toml: sort: there is no key 'newst'; there are: "),
        (GOOD + '[sort]\nnewest = [""]', "x.toml: sort.newest: each phrase must be a text"),
        (GOOD + '[sort]\nnewest = "new"\n[sort.x]', "x.toml"),
        (
            GOOD + '[bounds]\nmost = ["under {amout}"]',
            "x.toml: bounds.most: there is no slot",
        ),
        (
            GOOD + '[bounds.size]\nmost = ["under 5"]',
            "x.toml: bounds: there is no key 'size'",
        ),
        (GOOD + "[numbers]\nwords = { one = true }", "x.toml: numbers.words.one: this must be"),
        (GOOD + 'plurals = [["s"]]', "x.toml: plurals: each must be two endings"),
        (GOOD + "sort = 3", "x.toml: sort: this must be a table"),
    ],
)
def test_a_wrong_pack_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(PackError) as error:
        pack_of(text, "x.toml")
    assert str(error.value).startswith(message)


def test_a_pack_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "xx.toml"
    file.write_text(GOOD + 'plurals = [["", "en"]]\n[sort]\nnewest = ["neu"]', "utf-8")
    pack = read_pack(file)
    assert pack.phrases("sort", "newest") == ["neu"]
    assert pack.phrases("sort", "oldest") == ()
    assert list(pack.forms("lamp")) == [("lampen", True)]
    assert list(pack.forms("lampen")) == [("lamp", False)]


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("comedy", [("comedies", True)]),
        ("comedies", [("comedy", False)]),
        ("glass", [("glasses", True)]),
        ("box", [("boxes", True)]),
        ("shelves", [("shelf", False)]),
        ("dress", [("dresses", True)]),
    ],
)
def test_english_plurals(word: str, forms: list[tuple[str, bool]]) -> None:
    english = next(pack for pack in packs() if pack.code == "en")
    assert [form for form in english.forms(word) if form in forms] == forms


def test_every_phrase_of_every_pack_has_tokens() -> None:
    for pack in packs():
        for section in ("sort", "tone", "words", "negation", "like", "dates", "periods"):
            for key in pack.section(section):
                for phrase in pack.phrases(section, key):
                    assert tokens_of(phrase), (pack.code, section, key, phrase)


def test_every_file_of_the_folder_is_the_pack_of_its_name() -> None:
    folder = Path(phrases.__file__).parent / "languages"
    assert {file.stem for file in folder.iterdir()} == {pack.code for pack in packs()}
