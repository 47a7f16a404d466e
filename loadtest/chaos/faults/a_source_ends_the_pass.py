"""A candidate source that fails ends the pass of all requests."""

from collections.abc import Sequence

from app.engine.retrieval import sources
from app.engine.retrieval.resolve import ResolvedRequest


def seed() -> None:
    """Let the failure through."""

    def strict(source: sources.Source, requests: Sequence[ResolvedRequest]) -> list:
        none = sources._NO_HITS  # noqa: SLF001 - a fault
        return [none if some is None else some for some in source.search(requests)]

    sources._searched  # noqa: B018, SLF001 - it must exist
    sources._searched = strict  # noqa: SLF001 - a fault
