"""In which encoding a file of text is written, recognised by its bytes.

A byte order mark decides, then whether the *whole* file is UTF-8: a sample would miss an accent
that comes late. Files that are not are in an older encoding. Those of other scripts are recognised
by chardet, from the lines that are not ASCII: it knows more texts of a few words than
charset-normalizer. What is left are Latin letters: Windows-1252, which contains Latin-1, except
where signs would stand inside words.

A file of UTF-8 with a few broken bytes stays UTF-8; the rows with those bytes are counted.
"""

import codecs
import io
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Final, TypeAlias

import chardet

from app.core.errors import BadDataError

OpenBytes: TypeAlias = Callable[[], IO[bytes]]
"""Opens a file at its first byte, already unpacked."""

_BYTE_ORDER_MARKS: Final = (
    # The mark of UTF-32 begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_SHOWN: Final = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
    "iso8859-1": "Latin-1",
}
_WESTERN: Final = "cp1252"
_CENTRAL: Final = "cp1250"
_TURKISH: Final = "cp1254"
_ASIAN: Final = "big5 cp932 cp949 euc_jp euc_kr gb18030 gb2312 gbk shift_jis cp874 tis-620"
_CYRILLIC: Final = "cp1251 cp866 iso8859-5 koi8-r koi8-u"
_OTHER: Final = "cp1253 iso8859-7 cp1255 iso8859-8 cp1256 iso8859-6"
_OTHER_SCRIPTS: Final = frozenset(f"{_ASIAN} {_CYRILLIC} {_OTHER}".split())

_CHUNK_BYTES: Final = 1 << 20
_HEAD_BYTES: Final = 4096
_SAMPLE_BYTES: Final = 64 * 1024
_MOST_CONTROLS: Final = 0.05
_MOST_TOUCHING: Final = 0.3
_LEAST_RUN: Final = 1.5

_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x19\x1c-\x1f]")
_RUN = re.compile(r"[^\x00-\x7f]+")
_TOUCHING = re.compile(r"[A-Za-z][^\x00-\x7f]|[^\x00-\x7f][A-Za-z]")
# In Windows-1252 these signs are where Central European letters are in Windows-1250.
_SIGN_IN_WORD = re.compile(r"[^\W\d_][³¹¿¾Ÿ¥£](?=[^\W\d_])")
# These are Turkish letters in Windows-1254.
_ICELANDIC = re.compile(r"[ýþðÝÞÐ]")


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """An encoding of a file.

    Attributes:
        codec: its name for Python.
        shown: its name for people.
        is_sound: all bytes of the file can be decoded.
    """

    codec: str
    shown: str
    is_sound: bool

    @property
    def is_utf8(self) -> bool:
        """It is UTF-8, with or without a byte order mark."""
        return self.codec in {"utf-8", "utf-8-sig"}

    @property
    def errors(self) -> str:
        """How to decode a byte that does not belong, so that `is_broken` finds it."""
        return "replace" if self.codec.startswith(("utf-16", "utf-32")) else "surrogateescape"

    def text(self, stream: IO[bytes], newline: str | None = None) -> IO[str]:
        """Return the text of a stream of bytes; `newline`: as `open` takes it."""
        return io.TextIOWrapper(stream, self.codec, self.errors, newline)

    def is_broken(self, text: str) -> bool:
        """Tell whether decoded text has a byte that does not belong."""
        if self.is_sound or text.isascii():
            return False
        if self.errors == "replace":
            return "\ufffd" in text
        return any("\udc80" <= letter <= "\udcff" for letter in text)


def encoding_of(open_bytes: OpenBytes, named: str | None, file: str) -> TextEncoding:
    """Return the encoding of a file; `named`: the one that a recipe names.

    The whole file is read, in pieces.

    Raises:
        BadDataError: the file contains no text.
        OSError: it cannot be read.
    """
    with open_bytes() as stream:
        head = stream.read(_HEAD_BYTES)
    if named is not None:
        codec = codecs.lookup(named).name
        marked = codec == "utf-8" and head.startswith(codecs.BOM_UTF8)
        return _encoding(open_bytes, "utf-8-sig" if marked else codec)
    for mark, codec in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return _encoding(open_bytes, codec)
    wide = _wide_codec(head)
    if wide is not None:
        return _encoding(open_bytes, wide)
    if len(_CONTROLS.findall(head)) > _MOST_CONTROLS * len(head):
        raise BadDataError(f"{file} contains neither text nor Parquet")
    if _decodes(open_bytes, "utf-8"):
        return _encoding(open_bytes, "utf-8", is_sound=True)
    sample, mostly_utf8 = _not_ascii(open_bytes)
    return _encoding(open_bytes, "utf-8" if mostly_utf8 else _older_codec(sample))


def _encoding(open_bytes: OpenBytes, codec: str, *, is_sound: bool | None = None) -> TextEncoding:
    sound = _decodes(open_bytes, codec) if is_sound is None else is_sound
    shown = f"Windows-{codec[2:]}" if codec.startswith("cp125") else codec.upper()
    return TextEncoding(codec, _SHOWN.get(codec, shown), sound)


def _decodes(open_bytes: OpenBytes, codec: str) -> bool:
    decoder = codecs.getincrementaldecoder(codec)("strict")
    try:
        with open_bytes() as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _wide_codec(head: bytes) -> str | None:
    """Return UTF-16 if every other byte is mostly 0, as in text of Latin letters."""
    pairs = len(head) // 2
    if pairs and head[1::2].count(0) > pairs * 0.6:
        return "utf-16-le"
    return "utf-16-be" if pairs and head[::2].count(0) > pairs * 0.6 else None


def _not_ascii(open_bytes: OpenBytes) -> tuple[bytes, bool]:
    """Return the first lines that are not ASCII, and whether most of such letters are UTF-8."""
    sample = bytearray()
    whole = broken = 0
    with open_bytes() as stream:
        for line in stream:
            if line.isascii():
                continue
            if len(sample) < _SAMPLE_BYTES:
                sample += line
            text = line.decode("utf-8", "surrogateescape")
            n_broken = sum("\udc80" <= letter <= "\udcff" for letter in text)
            broken += n_broken
            whole += sum(letter > "\x7f" for letter in text) - n_broken
    return bytes(sample), whole > broken


def _older_codec(sample: bytes) -> str:
    """Return the encoding of lines that are neither ASCII nor UTF-8."""
    guess = _guessed(sample)
    if guess in _OTHER_SCRIPTS and _is_script(sample, guess):
        return guess
    western = sample.decode(_WESTERN, "replace")
    if guess == _CENTRAL and _SIGN_IN_WORD.search(western):
        return _CENTRAL
    if guess == _TURKISH and _ICELANDIC.search(western):
        return _TURKISH
    return _WESTERN


def _guessed(sample: bytes) -> str | None:
    name = chardet.detect(sample)["encoding"]
    try:
        return None if name is None else codecs.lookup(name).name
    except LookupError:
        return None


def _is_script(sample: bytes, codec: str) -> bool:
    """Tell whether decoded lines have words of another script, not single letters among ours."""
    try:
        text = sample.decode(codec)
    except UnicodeError:
        return False
    runs = _RUN.findall(text)
    letters = "".join(runs)
    # The vowels of Thai are marks.
    n_words = sum(unicodedata.category(letter)[0] in "LM" for letter in letters)
    return (
        n_words > len(letters) * 0.7
        and len(letters) >= _LEAST_RUN * len(runs)
        and len(_TOUCHING.findall(text)) <= _MOST_TOUCHING * len(letters)
    )
