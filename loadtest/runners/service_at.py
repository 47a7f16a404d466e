"""The service with its real parts, at a moment that stands still.

    python -m loadtest.runners.service_at --bundle DIR --port PORT --now 2026-11-30T12:00:00Z

"Yesterday" in a query then always means the same day. The monotonic clock runs as usual.
"""

import argparse
from datetime import datetime
from functools import partial
from pathlib import Path

import uvicorn

from app.api.fast_path import FastPathProtocol
from app.api.server import create_app
from app.bootstrap import open_service
from app.core.settings import Settings


def main(argv: list[str] | None = None) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser("python -m loadtest.runners.service_at", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--now", type=datetime.fromisoformat, required=True)
    options = parser.parse_args(argv)
    seconds: float = options.now.timestamp()
    settings = Settings(bundle=options.bundle)
    uvicorn.run(
        create_app(settings, partial(open_service, now=lambda: seconds)),
        port=options.port,
        http=FastPathProtocol,
        loop="uvloop",
        access_log=False,
        log_config=None,
        timeout_keep_alive=75,  # a judge may think for seconds between two requests
    )


if __name__ == "__main__":
    main()
