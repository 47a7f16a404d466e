"""HTML goes out of texts, and nothing else does."""

import pytest

from app.domain.markup import plain_text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<div>Warm<br/>and dry</div>", "Warm and dry"),
        ("<ul><li>Oak</li><li>Pine</li></ul>", "Oak Pine"),
        ("A <b>b</b>old move", "A bold move"),
        ('<a href="/x?a=1&amp;b=2" title="a > b">Shop</a>', "Shop"),
        ("<P CLASS=big>Hi</P>", "Hi"),
        ("<p class='never closed>Hi</p>", "Hi"),
        ("Sale<!-- until May --> now", "Sale now"),
        ("<style>p { color: red }</style>Red", "Red"),
        ("<SCRIPT type='x'>if (a < b) { c('</p>') }</SCRIPT >Done", "Done"),
        ("<![CDATA[Tea]]>", "Tea"),
        ("<!DOCTYPE html><html><body>Tea</body></html>", "Tea"),
        ("Soft wool <a href='http://a.b/c", "Soft wool"),
        ("Caf&eacute; &#8211; it&rsquo;s &quot;open&quot;", 'Café – it’s "open"'),
        ("5&nbsp;kg&#x20AC;", "5 kg€"),
        ("Salt &amp;amp; Pepper &amp;nbsp;", "Salt & Pepper"),
        ("&lt;p&gt;Escaped &lt;i&gt;twice&lt;/i&gt;&lt;/p&gt;", "Escaped twice"),
        ("Black &amp White &lt 3", "Black & White < 3"),
        ("<p></p>", ""),
    ],
)
def test_html_goes_and_text_stays(text: str, plain: str) -> None:
    assert plain_text(text) == plain


@pytest.mark.parametrize(
    "text",
    [
        *("a < b", "x<3 y", "I <3 tea", "5 <10 and 10> 5", "if a<b and c>d", "AT&T", "R & D"),
        *(
            "Q&A;",
            "&nosuch;",
            "a&copy=2",
            "?a=1&lt=3",
            "&ampere",
            "List<String>",
            "<unknown>",
            "--> x",
            "<3",
            "&",
            "<",
        ),
        *("Tom & Jerry", "  blanks  stay ", "line\nbreak", "<!-- never ends", "1 >> 0"),
    ],
)
def test_what_is_no_html_stays(text: str) -> None:
    assert plain_text(text) == text


def test_a_text_about_html_keeps_the_tags_it_names() -> None:
    assert plain_text("How to use &lt;b&gt;") == "How to use <b>"


@pytest.mark.parametrize(
    "piece", ["<", "<a ", "<!--", "</a ", "<a x='", "<script>", "<b x=\"'", "<div>", "&", "<p><"]
)
def test_crafted_texts_are_read_in_one_pass(piece: str) -> None:
    # Parsers need minutes for these; here the time is linear, so the test simply ends.
    assert len(plain_text(piece * 100_000)) <= len(piece) * 100_000


def test_a_text_with_marks_beyond_measure_stays_as_it_is() -> None:
    assert plain_text("<b>x</b>" * 5_000) == "x" * 5_000
    for many in ("<b>x</b>" * 5_001, "<" * 500_000, "&amp;" * 10_001):
        assert plain_text(many) == many
