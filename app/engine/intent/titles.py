"""Titles that the answer is to resemble, or not to resemble."""

from app.engine.intent.walk import GONE, JOINTS, Walk


def take_like(walk: Walk, at: int) -> int:
    """Take the titles behind a "like"."""
    return take_titles(walk, at, dislike=walk.nodes[at].kind == "unlike")


def take_titles(walk: Walk, at: int, *, dislike: bool) -> int:
    """Take the titles behind the node at a place, and return the place behind them."""
    titles = walk.demands.dislike if dislike else walk.demands.like
    walk.flag(walk.nodes[at], GONE)
    at += 1
    while walk.kind(at) == "title" or (
        walk.kind(at) in JOINTS and walk.kind(at + 1) in {"title", "and"}
    ):
        node = walk.nodes[at]
        walk.flag(node, GONE)
        if node.kind == "title":
            text = walk.text_of(node)
            titles.append(text)
            walk.note(node, f"{'dislike' if dislike else 'like'}:{text}")
            walk.demands.doubt *= 1.0 if node.value else 0.9
        at += 1
    return at


def take_title_before(walk: Walk, at: int) -> int:
    """Take the words in front of a "like these" as a title, if there are some."""
    node = walk.nodes[at]
    walk.flag(node, GONE)
    first = at
    while walk.kind(first - 1) in {"word", "quoted", "stop"}:
        first -= 1
    if all(node.kind == "stop" for node in walk.nodes[first:at]):
        return at + 1
    text = walk.text_of(walk.nodes[first], walk.nodes[at - 1] if first < at - 1 else None)
    walk.demands.like.append(text)
    walk.drop(first, at)
    walk.note(walk.nodes[first], f"like:{text}", node)
    for place in range(first, at):
        walk.nodes[place] = walk.nodes[place]._replace(kind="title")
    return at + 1
