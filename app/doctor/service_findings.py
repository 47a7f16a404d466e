"""Findings on the service: its newest queries, its caches, its processes."""

from typing import Final

from app.doctor.facts import Examined
from app.doctor.finding import Finding, Findings, percent

_LEAST_QUERIES: Final = 50
_LEAST_READS: Final = 500
_SHOWN: Final = 5


def wordless_queries(facts: Examined, least: float = 0.1) -> Findings:
    """People search for what is not there, or in other words."""
    service = facts.service
    share = service.wordless / service.queries if service.queries else 0.0
    if service.queries >= _LEAST_QUERIES and share >= least:
        yield Finding(
            "wordless_queries",
            "warning",
            share,
            f"{percent(share)} of queries find no word: no item has a word like theirs (of the "
            f"newest {service.queries:,} that were computed).",
            "Look at the log of queries: add synonyms or translations to the texts of items, or "
            "use an encoder of many languages.",
        )


def weak_queries(facts: Examined, least: float = 0.3) -> Findings:
    """People ask for what the parser does not understand."""
    service = facts.service
    share = service.weak / service.queries if service.queries else 0.0
    if service.queries >= _LEAST_QUERIES and share >= least:
        yield Finding(
            "weak_queries",
            "notice",
            share,
            f"Little was understood of {percent(share)} of queries (of the newest "
            f"{service.queries:,} that were computed).",
            "Set RECSERVE_LLM_URL: a language model then learns queries beside the requests.",
        )


def low_hit_rate(facts: Examined, least: float = 0.3) -> Findings:
    """Find that the caches save little work."""
    service = facts.service
    share = service.cache_hits / service.cache_reads if service.cache_reads else 1.0
    if service.cache_reads >= _LEAST_READS and share < least:
        yield Finding(
            "low_hit_rate",
            "notice",
            share,
            f"{percent(share)} of requests were answered from the cache of this process.",
            "Are requests needlessly different (user ids, context, k)? Otherwise give it "
            "RECSERVE_CACHE_LOCAL_BYTES, a longer RECSERVE_CACHE_TTL_MS, or max_stale_ms.",
        )


def no_shared_cache(facts: Examined) -> Findings:
    """Each worker computes what another one has computed already."""
    service = facts.service
    if service.workers > 1 and not service.shared_cache:
        yield Finding(
            "no_shared_cache",
            "notice",
            service.workers,
            f"{service.workers} workers share no cache: each computes every answer for itself.",
            "Set RECSERVE_CACHE_URL to a Redis.",
        )


def changes_set_aside(facts: Examined) -> Findings:
    """Find changes of items that the engine cannot apply."""
    names = facts.service.set_aside
    if names:
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        yield Finding(
            "changes_set_aside",
            "error",
            len(names),
            f"The newest change of {len(names):,} items could not be applied; they are as they "
            f"were before: {shown}.",
            "Look for the reason in the log, and send these items again. A start, or a new bundle, "
            "tries what the journal has once more.",
        )


SERVICE_CHECKS = (
    changes_set_aside,
    wordless_queries,
    weak_queries,
    low_hit_rate,
    no_shared_cache,
)
