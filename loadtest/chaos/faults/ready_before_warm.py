"""The service is ready before any request has passed through all stages."""

from app import bootstrap, loading


def seed() -> None:
    """Warm nothing up."""

    async def cold(*_: object) -> None:
        return None

    bootstrap._warm_up  # noqa: B018, SLF001 - it must exist
    bootstrap._warm_up = cold  # noqa: SLF001 - a fault
    loading.warm_up_batches  # noqa: B018 - it must exist
    loading.warm_up_batches = lambda *_, **__: []
