"""The guides, followed in an empty folder with the real commands.

In docs/guides/shop.md one shell runs each block of `sh`, in order. The block of `text` behind it
has to be what it printed on standard output; `…` stands for anything. A block that begins with
`recserve serve` stays in the background, as in a terminal of its own; its output is its log.
`console` blocks are not run: they install.

The demo takes minutes to build. Its guide and the README are sent to a small bundle of films: what
counts is that the service takes each request.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import serving
from tests.redis_server import free_port
from tests.test_architecture import ROOT

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the guides ask with curl"),
]

END_OF_BLOCK = "\x1e"
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BODY_IN_TABLE = re.compile(r"^\| `(\{.*?\})` \|", re.MULTILINE)
_IN_BACKGROUND = """{command} > serve.log 2>&1 &
trap "kill $!" EXIT
curl -s -o ready --retry 120 --retry-delay 1 --retry-connrefused localhost:{port}/readyz
cat serve.log
"""
_CURL = 'curl() { command curl --fail "$@"; }'

Steps = list[tuple[str, str | None]]


def _steps(page: str, port: int) -> Steps:
    """Return the commands of a page, each with the output that is shown."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"(localhost|127\.0\.0\.1):8000", rf"\1:{port}", text)
    steps: Steps = []
    for kind, content in _BLOCK.findall(text):
        if kind == "sh":
            steps.append((content, None))
        else:
            steps[-1] = (steps[-1][0], content)
    return steps


def _run(steps: Steps, port: int, folder: Path) -> list[str]:
    """Run all commands in one shell; return what each printed on standard output."""
    script = ["set -eu -o pipefail", _CURL]
    for command, _ in steps:
        if command.startswith("recserve serve"):
            script.append(_IN_BACKGROUND.format(command=command.strip(), port=port))
        else:
            script.append(command)
        script.append(f"printf '{END_OF_BLOCK}'")
    commands = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "RECSERVE_PORT": str(port),
        "RECSERVE_STORE_READ_TIMEOUT_MS": "5000",  # nothing is timed, the machine may be busy
    }
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    *printed, rest = done.stdout.split(END_OF_BLOCK)
    assert len(printed) == len(steps), f"{steps[len(printed)][0]}\n{rest}\n{done.stderr}"
    return printed


def _pattern(shown: str) -> str:
    """Return an expression for a shown output: blanks at line ends do not count."""
    return r"\s*".join(
        ".*?".join(map(re.escape, line.split("…"))) for line in shown.strip().splitlines()
    )


def test_the_commands_of_the_shop_print_what_the_guide_shows(tmp_path: Path) -> None:
    port = free_port()
    steps = _steps("docs/guides/shop.md", port)
    compared = 0
    for (command, shown), printed in zip(steps, _run(steps, port, tmp_path), strict=True):
        if shown is not None:
            assert re.fullmatch(_pattern(shown), printed.strip(), re.DOTALL), (
                f"{command}printed\n{printed}\nand the guide shows\n{shown}"
            )
            compared += 1
    assert compared >= 9


@pytest.mark.parametrize("page", ["docs/guides/demo.md", "README.md"])
def test_the_service_takes_the_requests_of_a_page(page: str, bundle: Path, tmp_path: Path) -> None:
    with serving(bundle, tmp_path) as service:
        port = service.client.base_url.port
        assert port is not None
        steps = [step for step in _steps(page, port) if "curl" in step[0]]
        assert any(_run(steps, port, tmp_path))
        for body in _BODY_IN_TABLE.findall((ROOT / page).read_text(encoding="utf-8")):
            answer = service.recommend(**json.loads(body))
            assert answer.status_code == 200, answer.text
