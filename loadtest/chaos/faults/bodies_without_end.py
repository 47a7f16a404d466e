"""A body is read to its end, however long it is."""

from starlette.requests import Request

from app.api import body


def seed() -> None:
    """Read on beyond the limit."""
    read = body.read_body

    async def read_body(request: Request, _limit: int) -> bytes:
        return await read(request, 2**40)

    body.read_body = read_body
