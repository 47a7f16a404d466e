"""Reads the lexicons of tones: a TOML file for each language, tone -> words of an item's text.

A phrase counts where all its words stand in the title, text or categories of an item. Names of
genres are not here: which values fit a tone is said in `app/engine/intent/languages`, `fitting`.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

from app.domain.intent import TONES

_PACKAGE: Final = "app.engine.tones"


class LexiconError(Exception):
    """A lexicon of tones is wrong. The text says which file, and why."""


@cache
def lexicon() -> Mapping[str, tuple[str, ...]]:
    """Return tone -> phrases, of all languages that come with the program.

    Raises:
        LexiconError: a file is wrong.
    """
    folder = resources.files(_PACKAGE) / "lexicons"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    found: dict[str, tuple[str, ...]] = {}
    for file in files:
        for tone, phrases in lexicon_of(file.read_text("utf-8"), file.name).items():
            found[tone] = (*found.get(tone, ()), *phrases)
    return found


def lexicon_of(text: str, file: str) -> Mapping[str, tuple[str, ...]]:
    """Return tone -> phrases of the text of a file.

    Raises:
        LexiconError: it is no TOML, there is no such tone, or a phrase is no text.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LexiconError(f"{file}: {error}") from error
    for tone, phrases in raw.items():
        if tone not in TONES:
            raise LexiconError(f"{file}: there is no tone {tone!r}; there are: {', '.join(TONES)}")
        if not isinstance(phrases, list) or not all(
            isinstance(phrase, str) and phrase.strip() for phrase in phrases
        ):
            raise LexiconError(f"{file}: {tone}: this must be a list of texts that are not blank")
    return {tone: tuple(phrases) for tone, phrases in raw.items()}
