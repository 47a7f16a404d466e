"""Findings on the events, and on what was learned of them."""

from typing import Final

from app.doctor.facts import MODES, Examined
from app.doctor.finding import Finding, Findings, percent

_LEAST_EVENTS: Final = 100
"""With fewer, how they are spread says little."""
_LEAST_LEARNED: Final = 500
"""Learning is checked on as many events, of people who did more (`app.offline.learning.learn`)."""
_SAID_OF: Final = {"words": "a query", "history": "a history", "both": "a query and a history"}


def no_events(facts: Examined) -> Findings:
    """Nobody did anything."""
    if not facts.events.total:
        yield Finding(
            "no_events",
            "warning",
            0,
            "There are no events: everybody gets the same answers, and nothing is popular.",
            "Send what people do to POST /events, or build with --events FILE.",
        )


def no_positive_events(facts: Examined) -> Findings:
    """Find that what people did says nothing of what they want."""
    if facts.events.total and not facts.events.positive:
        yield Finding(
            "no_positive_events",
            "error",
            facts.events.total,
            f"No event kind counts as positive: {facts.events.total:,} events teach nothing.",
            "Give the kinds of your events a weight above 0 in `weights` of the recipe.",
        )


def unknown_kinds(facts: Examined, least: float = 0.05) -> Findings:
    """Kinds of events without a rule."""
    events = facts.events
    share = events.unknown_kind / events.total if events.total else 0.0
    if share >= least:
        yield Finding(
            "unknown_kinds",
            "warning",
            share,
            f"{percent(share)} of events are of kinds without a rule: they count for nothing.",
            "Add the kinds to `weights` of the recipe.",
        )


def unknown_items(facts: Examined, least: float = 0.05) -> Findings:
    """Events of items that are not there."""
    events = facts.events
    share = events.unknown_item / events.total if events.total else 0.0
    if share >= least:
        yield Finding(
            "unknown_items",
            "warning",
            share,
            f"{percent(share)} of events are about items that the catalogue does not have.",
            "Compare the ids of both: prefixes, leading zeros, variants. Or send the items.",
        )


def single_events(facts: Examined, least: float = 0.5) -> Findings:
    """People of whom only one thing is known."""
    events = facts.events
    share = events.users_with_one / events.users if events.users else 0.0
    if events.positive >= _LEAST_EVENTS and share >= least:
        yield Finding(
            "single_events",
            "notice",
            share,
            f"{percent(share)} of users have one event only: nothing follows from what they do.",
            "Send clicks and views too, keep session ids longer, and merge sessions into users.",
        )


def concentrated(facts: Examined, least: float = 0.5) -> Findings:
    """Find that a few items take everything."""
    counts, n = sorted(facts.events.counts, reverse=True), facts.items.n_visible
    total = sum(counts)
    if total < _LEAST_EVENTS or n < _LEAST_EVENTS:
        return
    share = sum(counts[: max(n // 100, 1)]) / total
    if share >= least:
        yield Finding(
            "concentrated",
            "notice",
            share,
            f"1 % of items take {percent(share)} of all events (Gini {gini(counts, n):.2f}): "
            "popular items crowd the others out.",
            "Send `popularity_bias` below 0, `explore`, or `max_per`.",
        )


def never_taken(facts: Examined, least: float = 0.5) -> Findings:
    """Items that nobody ever took."""
    n = facts.items.n_visible
    share = 1 - len(facts.events.counts) / n if n else 0.0
    if facts.events.positive >= _LEAST_EVENTS and share >= least:
        yield Finding(
            "never_taken",
            "notice",
            share,
            f"{percent(share)} of items were never taken: only words and likeness bring them.",
            "Send `explore` for a share of the requests, or hide what is not for sale any more.",
        )


def nothing_learned(facts: Examined) -> Findings:
    """Find that the bundle does not know what follows what."""
    model, events = facts.model, facts.events
    if model is None or model.learned_from_behaviour or not events.total:
        return
    several = events.users - events.users_with_one
    if several < _LEAST_LEARNED:
        why = f"{several:,} users have several positive events, and some 500 are needed"
        remedy = "Collect more events, then run `recserve train --events-from-store`."
    elif events.in_bundle >= _LEAST_LEARNED:
        why = "it was built without learning, or its events have no order"
        remedy = "Run `recserve train`, and look whether the events have timestamps and user ids."
    else:
        why = "it was built before these events came"
        remedy = "Run `recserve train --events-from-store`."
    yield Finding(
        "nothing_learned",
        "warning",
        several,
        f"The bundle has learned nothing from behaviour: {why}.",
        remedy,
    )


def not_learned_mode(facts: Examined) -> Findings:
    """Kinds of requests that the fixed order ranks."""
    model = facts.model
    if model is None or not model.learned_modes:
        return
    for mode in MODES:
        if mode in model.learned_modes or (mode != "words" and not model.learned_from_behaviour):
            continue
        note = next((note for note in model.notes if note.startswith(f"{mode}:")), "")
        why = note.partition(": ")[2] or "there were too few examples"
        yield Finding(
            f"not_learned:{mode}",
            "notice",
            0,
            f"Requests with {_SAID_OF[mode]} are ranked by the fixed order: {why}.",
            "More events, or events with the queries that led to them, may change that.",
        )


def train_again(facts: Examined, least: float = 0.1) -> Findings:
    """Find that the bundle is behind what people do."""
    events = facts.events
    share = events.since_learned / (events.in_bundle or 1)
    if facts.model is not None and events.since_learned >= _LEAST_EVENTS and share >= least:
        yield Finding(
            "train_again",
            "notice",
            events.since_learned,
            f"{events.since_learned:,} events came after the bundle was learned, "
            f"{percent(share) if share <= 1 else f'{share:.1f} times'} of what it knows.",
            "Run `recserve train --events-from-store`: services take the new bundle over.",
        )


def gini(counts: list[int], n: int) -> float:
    """Return the Gini coefficient of n items: 0 = all are taken alike, 1 = one takes everything.

    `counts`: falling, without those that were never taken.

    >>> gini([1, 1, 1, 1], 4), gini([8], 4)
    (0.0, 0.75)
    """
    total = sum(counts)
    ranks = sum((n - place) * count for place, count in enumerate(counts))
    return (2 * ranks / total - (n + 1)) / n


EVENT_CHECKS = (
    no_events,
    no_positive_events,
    unknown_kinds,
    unknown_items,
    single_events,
    concentrated,
    never_taken,
    nothing_learned,
    not_learned_mode,
    train_again,
)
