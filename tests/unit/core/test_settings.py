"""Settings whose values are checked by more than a bound."""

import pytest
from pydantic import ValidationError

from app.core.settings import Settings


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("*", "*"),
        ("https://Shop.example", "https://shop.example"),
        (" https://a.example , http://localhost:3000,", "https://a.example,http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("", None),
    ],
)
def test_origins_become_a_list_as_browsers_send_them(sent: str, kept: str | None) -> None:
    assert Settings(cors_origins=sent).cors_origins == kept


@pytest.mark.parametrize("sent", ["shop.example", "https://a.example/", "https://a b", "https://"])
def test_what_is_no_origin_is_refused(sent: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        Settings(cors_origins=sent)


@pytest.mark.parametrize(
    ("sent", "kept"), [("/shop", "/shop"), ("/a/b/", "/a/b"), ("/", None), ("", None)]
)
def test_a_prefix_has_no_slash_at_its_end(sent: str, kept: str | None) -> None:
    assert Settings(root_path=sent).root_path == kept


@pytest.mark.parametrize("sent", ["shop", "/a//b", "/a b", "https://a.example/shop", "/a?b"])
def test_what_is_no_prefix_is_refused(sent: str) -> None:
    with pytest.raises(ValidationError, match="begins with a slash"):
        Settings(root_path=sent)
