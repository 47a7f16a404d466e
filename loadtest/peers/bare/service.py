"""What FastAPI itself costs: validates the body as recserve does, and returns bytes made before.

`BARE_ANSWER` names the file with the bytes. Runs in recserve's own environment.
"""

import os
from pathlib import Path

from fastapi import FastAPI, Response

from app.domain.request import RecommendRequest

ANSWER = Path(os.environ["BARE_ANSWER"]).read_bytes()

app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})  # as recserve


@app.post("/recommend")
async def recommend(_ask: RecommendRequest) -> Response:
    """Answer every valid request with the same bytes."""
    return Response(ANSWER, media_type="application/json")


@app.get("/readyz")
async def ready() -> dict[str, bool]:
    """Answer as soon as the process listens."""
    return {"ready": True}
