"""Cuts a text that arrives in pieces into sentences.

A sentence ends with a mark such as "." before a blank and no small letter, a Chinese full stop, or
a line. A mark within a title is none. What has no end is no sentence: a text that was cut off says
half of what it means.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

_END: Final = re.compile(
    r"(?<![.!?])[.!?]++[\"'”’»)]*+(?=[^\S\n]*\n|\s+[^\sa-zß-öø-ÿ])|[。！？]+[”’」》）]*|\n"
)
_LAST: Final = re.compile(r"(?:(?<![.!?])[.!?]++[\"'”’»)]*+|[。！？]++[”’」》）]*+)\s*+\Z")
_NO_END: Final = re.compile(
    r"(?:\A|[\s.])(?:[^\W\d_]|Mr|Mrs|Ms|Dr|St|No|Vol|vs)\.\Z|\A\s*\(?\d{1,2}\.\Z"
)
_BULLET: Final = re.compile(r"\A\s*(?:[-*•–—]+|\(?\d{1,2}[.)])\s+")
_EMPHASIS: Final = re.compile(r"\*{1,3}|_{2,}|(?<!\w)_|_(?!\w)|\A#+\s*")
_MOST_PENDING: Final = 2000
_MOST_AT_ONCE: Final = 1000


class SentenceCutter:
    """Cuts one text."""

    def __init__(self, titles: Sequence[str]) -> None:
        """`titles`: marks within these end no sentence."""
        self._titles = [title for title in titles if re.search(r"[.!?。！？]", title)]
        self._rest = ""

    def take(self, piece: str) -> Iterator[str]:
        """Yield the sentences that are complete after the next piece."""
        for start in range(0, len(piece), _MOST_AT_ONCE):
            self._rest += piece[start : start + _MOST_AT_ONCE]
            yield from self._complete()
            self._rest = self._rest[-_MOST_PENDING:]

    def _complete(self) -> Iterator[str]:
        start = 0
        while (found := _END.search(self._rest, start)) is not None:
            start = found.end()
            # The end of a title may not have arrived yet: a mark may belong to one.
            if found[0] != "\n" and self._is_inside(found.end()):
                continue
            sentence, self._rest, start = self._rest[: found.end()], self._rest[found.end() :], 0
            if _LAST.search(sentence):
                yield from _tidy(sentence)

    def last(self) -> Iterator[str]:
        """Yield what is left after the last piece, if it is a sentence."""
        if _LAST.search(self._rest):
            yield from _tidy(self._rest)
        self._rest = ""

    def _is_inside(self, end: int) -> bool:
        """Tell whether the mark before a place belongs to a title or an abbreviation."""
        before = self._rest[:end]
        if _NO_END.search(before):
            return True
        folded, whole = before.casefold(), self._rest.casefold()
        for title in map(str.casefold, self._titles):
            for size in range(1, len(title)):
                if title[size - 1] not in ".!?。！？" or not folded.endswith(title[:size]):
                    continue
                start = len(folded) - size
                if whole[start : start + len(title)] == title[: len(whole) - start]:
                    return True
        return False


def _tidy(sentence: str) -> Iterator[str]:
    """Yield a sentence without the marks of lists and emphasis."""
    text = _EMPHASIS.sub("", _BULLET.sub("", sentence.strip())).strip()
    if text:
        yield text
