"""The compose project, for real: `compose.sh` beside this file, where it can run."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.redis_server import free_port

ROOT = Path(__file__).resolve().parents[2]
TOOL = (
    ROOT / os.environ.get("RECSERVE_SHARED", "../shared") / "tools" / "compose-offline.sh"
).resolve()

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not (os.environ.get("CI") or os.environ.get("RECSERVE_COMPOSE") == "1"),
        reason="takes minutes: set RECSERVE_COMPOSE=1",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="a container engine needs root"),
    pytest.mark.skipif(not TOOL.exists(), reason="no tools/compose-offline.sh in RECSERVE_SHARED"),
]


def test_compose_project_answers_and_stops_cleanly(tmp_path: Path) -> None:
    log = tmp_path / "compose.log"
    with log.open("wb") as output:
        done = subprocess.run(
            ["bash", str(ROOT / "tests" / "e2e" / "compose.sh")],
            stdout=output,
            stderr=subprocess.STDOUT,
            # Another process of the run may serve on the usual port at the same time.
            env={**os.environ, "PORT": str(free_port())},
            timeout=900,
            check=False,
        )
    assert done.returncode == 0, log.read_text(errors="replace")[-8000:]
