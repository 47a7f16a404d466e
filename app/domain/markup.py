"""Plain text out of HTML: tags, scripts, comments and entities go, the words stay.

What only looks like HTML stays as it is: `a < b`, `x<3`, `AT&T`. Only elements that HTML has count
as tags. Entities end with a semicolon, but for the most frequent ones.

Every search goes forward from one `<` to the next, so the time is linear in the text. That is why
`html.parser` is not used: on crafted text its time grows with the square of the length, and such
text comes in `PUT /items` too.
"""

import html
import re
from typing import Final

_INLINE_TEXT = (
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q "
    "s samp small span strike strong sub sup time tt u var wbr o:p"
)
_INLINE: Final = _INLINE_TEXT.split()
"""Elements that do not end a word: `<b>S</b>tars` is one."""

_BLOCK_TEXT = (
    "address applet area article aside audio base blockquote body br button canvas caption "
    "center col colgroup dd details dialog dir div dl dt embed fieldset figcaption figure "
    "footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html iframe img input "
    "legend li link main map menu meta nav noscript object ol optgroup option p param path "
    "picture pre progress script section select source style summary svg table tbody td "
    "template textarea tfoot th thead title tr track ul video"
)
_BLOCK: Final = _BLOCK_TEXT.split()

_NAMES = "|".join(sorted([*_INLINE, *_BLOCK], key=len, reverse=True))
_TAG: Final = re.compile(
    rf"<(/?)({_NAMES})(?=[\s/>])((?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*+|[^<>]*+)>"
    r"|<!doctype[^<>]*>|<!\[CDATA\[|\]\]>|<\?xml[^<>]*>"
    # A text that was cut to a length may end within a tag.
    r"|<(?:a|div|img|p|span|table|td)\s[^<>]*=[^<>]*$",
    re.IGNORECASE,
)
_HIDING: Final = re.compile(r"<!--|<(script|style)(?=[\s>])[^<>]*>", re.IGNORECASE)
_END: Final = {
    None: re.compile("-->"),
    "script": re.compile(r"</script\s*>", re.IGNORECASE),
    "style": re.compile(r"</style\s*>", re.IGNORECASE),
}
_CLOSING: Final = re.compile(rf"</(?:{_NAMES})\s*>", re.IGNORECASE)
_ENTITY: Final = re.compile(
    r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
    r"|&(?:amp|lt|gt|quot|nbsp)(?![A-Za-z0-9=])"
)
_BLANKS: Final = re.compile(r"\s+")
_DROPPED: Final = str.maketrans({"\xa0": " ", "\xad": None, "\u200b": None, "\x00": None})


_MOST_MARKS: Final = 10_000
"""Tags and entities of a text that is read as HTML: each takes a microsecond, and while a text that
was sent is read, nobody is answered."""


def plain_text(text: str) -> str:
    """Return a text without HTML; one that has none, or beyond measure, comes back as it is.

    >>> plain_text("<p>Soft <b>wool</b>&nbsp;set.</p><script>var a=1</script>")
    'Soft wool set.'
    >>> plain_text("a < b, x<3, AT&T, R&amp;D")
    'a < b, x<3, AT&T, R&D'
    """
    if not 0 < text.count("<") + text.count("&") <= _MOST_MARKS:
        return text
    plain = _without_tags(text)
    has_tags = plain != text
    plain = _without_entities(plain)
    # The HTML may itself be escaped. A text that is about HTML seldom closes the tags it names.
    if not has_tags and "<" in plain and _CLOSING.search(plain):
        plain = _without_entities(_without_tags(plain))
    return plain


def _without_tags(text: str) -> str:
    if "<" not in text:
        return text
    bare = _TAG.sub(_replaced, _without_hidden(text))
    return text if bare == text else _BLANKS.sub(" ", bare).strip()


def _replaced(tag: re.Match[str]) -> str:
    """Return what stands in for a tag; a comparison such as `a<b and c>d` is none, and stays."""
    name, rest = (tag[2] or "").lower(), tag[3] or ""
    if len(name) == 1 and "=" not in rest and rest.strip(" \t\r\n/"):
        return tag[0]
    return "" if name in _INLINE else " "


def _without_hidden(text: str) -> str:
    """Return a text without comments, scripts and styles; what never ends is text."""
    pieces, start, endless = [], 0, set[str | None]()
    for opening in _HIDING.finditer(text):
        kind = opening[1] and opening[1].lower()
        if opening.start() < start or kind in endless:
            continue
        end = _END[kind].search(text, opening.end())
        if end is None:
            endless.add(kind)  # nor does a later one: each text is searched once for each kind
            continue
        pieces += [text[start : opening.start()], " "]
        start = end.end()
    return "".join([*pieces, text[start:]]) if pieces else text


def _without_entities(text: str) -> str:
    if "&" not in text:
        return text
    plain = _ENTITY.sub(_character, text)
    # Exports often escape twice: "&amp;nbsp;".
    plain = plain if plain == text else _ENTITY.sub(_character, plain)
    return text if plain == text else plain.strip()


def _character(entity: re.Match[str]) -> str:
    return html.unescape(entity[0]).translate(_DROPPED)
