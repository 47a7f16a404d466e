"""How the text of a query is spelled, and how long it may be: in requests, events and files."""

import unicodedata
from typing import Final

MAX_QUERY_CHARACTERS: Final = 512


def normalised_query(text: str) -> str:
    """Return one spelling for one query: NFC, runs of white space one blank, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())
