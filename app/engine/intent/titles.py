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
