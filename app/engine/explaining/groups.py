"""Which group of signals a feature or a term of the score belongs to."""

from typing import Final

from app.core.explanation import Group

_BY_NAME: Final[dict[str, Group]] = {
    "item.freshness": "freshness",
    "user.highest_taste": "taste",
}
_BY_FAMILY: Final[dict[str, Group]] = {
    "lexical": "words",
    "cosine": "words",
    # Both say how near an item lies to what the user took, by its words or in the learned space.
    "content_knn": "taste",
    "taste": "taste",
    "fit": "taste",
    "side": "context",
    "item": "popularity",
}
_OF_TABLES: Final[Group] = "behaviour"


def group_of_feature(name: str) -> Group:
    """Return the group of a feature, which is called `family.feature`.

    Every table of neighbours is a family of its own.

    >>> [group_of_feature(name) for name in ("lexical.bm25", "item.freshness", "any_table.total")]
    ['words', 'freshness', 'behaviour']
    """
    return _BY_NAME.get(name) or _BY_FAMILY.get(name.partition(".")[0], _OF_TABLES)
