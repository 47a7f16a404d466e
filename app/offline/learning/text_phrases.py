"""Finds what people may look for in the text of an item: names, phrases, and telling words."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import log
from typing import Final

from app.offline.learning.title_words import TitleWord, as_typed, is_little, title_words

_MOST_READ: Final = 20_000
"""Characters of a text in which names are looked for."""
_MOST_WEIGHED: Final = 4_000
"""Characters of a text whose words are weighed."""

_TELLING: Final = 8
"""Words of a text that are kept."""

_LEAST_NAME: Final = 2
_COUNTED_CHARACTERS: Final = 1_500
"""Characters of a text that count for how frequent words are."""

_CAPITAL: Final = "".join(c for c in map(chr, range(0x41, 0x2000)) if c.isupper())
_NAMES: Final = re.compile(rf"[{_CAPITAL}][\w'’-]+(?: [{_CAPITAL}][\w'’-]+){{1,2}}")


def names_in(text: str, title: str | None) -> list[str]:
    """Return the names in a text, each once: two or three neighbouring words with capital letters.

    A title at the beginning of a text is left out.

    >>> names_in("Heat. The Al Pacino film by Michael Mann", "Heat"), names_in("The End", None)
    (['al pacino', 'michael mann'], [])
    """
    body = text.removeprefix(title or "")[:_MOST_READ]
    names: dict[str, None] = {}
    for found in _NAMES.findall(body):
        words = as_typed(title_words(found))
        while words and is_little(words[0]):
            del words[0]
        if len(words) >= _LEAST_NAME:
            names[" ".join(words)] = None
    return list(names)


def telling_words(text: str, frequency: Mapping[str, int], n_texts: int) -> list[TitleWord]:
    """Return the words of a text with the highest tf-idf, the best first.

    Words that fewer than two other texts have are left out: they are slips and codes. So are little
    words and numbers.

    Args:
        text: of the item.
        frequency: word -> how many of `n_texts` texts have it (`text_frequency`).
        n_texts: how many texts were counted.
    """
    times = Counter(title_words(text[:_MOST_WEIGHED]))
    weights = {
        word: -n * log(n_texts / frequency[word.text])
        for word, n in times.items()
        if frequency.get(word.text, 0) > 1 and not (is_little(word.text) or word.is_number)
    }
    # Among equals the earlier one, which is the order of the dictionary.
    return sorted(weights, key=weights.__getitem__)[:_TELLING]


def text_frequency(texts: Sequence[str]) -> Counter[str]:
    """Return how many of the texts have each word near their beginning."""
    frequency = Counter[str]()
    for text in texts:
        frequency.update({word.text for word in title_words(text[:_COUNTED_CHARACTERS])})
    return frequency
