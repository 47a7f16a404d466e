"""Nobody looks whether a part of the process is lost."""

import asyncio

from app import bootstrap


def seed() -> None:
    """Watch nothing."""

    async def watch(*_: object) -> None:
        await asyncio.Event().wait()

    bootstrap.watch  # noqa: B018 - it must exist
    bootstrap.watch = watch
