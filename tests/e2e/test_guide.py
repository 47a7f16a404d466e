"""The guide docs/guides/shop.md, followed in an empty folder with the real commands.

Each block of `sh` is run by one shell, in order. The block of `text` behind it has to be what it
printed on standard output; `…` stands for anything. A block that begins with `recserve serve` stays
in the background, as in a terminal of its own; its output is its log. `console` blocks are not run:
they install.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.redis_server import free_port
from tests.test_architecture import ROOT

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the guide asks with curl"),
]

GUIDE = ROOT / "docs" / "guides" / "shop.md"
END_OF_BLOCK = "\x1e"
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_IN_BACKGROUND = """{command} > serve.log 2>&1 &
trap "kill $!" EXIT
curl -s -o ready --retry 120 --retry-delay 1 --retry-connrefused localhost:{port}/readyz
cat serve.log
"""


def _steps(port: int) -> list[tuple[str, str | None]]:
    """Return the commands of the guide, each with the output that is shown."""
    page = GUIDE.read_text(encoding="utf-8").replace("localhost:8000", f"localhost:{port}")
    page = page.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    steps: list[tuple[str, str | None]] = []
    for kind, text in _BLOCK.findall(page):
        if kind == "sh":
            steps.append((text, None))
        else:
            steps[-1] = (steps[-1][0], text)
    return steps


def _script(steps: list[tuple[str, str | None]], port: int) -> str:
    script = ["set -eu -o pipefail"]
    for command, _ in steps:
        if command.startswith("recserve serve"):
            script.append(_IN_BACKGROUND.format(command=command.strip(), port=port))
        else:
            script.append(command)
        script.append(f"printf '{END_OF_BLOCK}'")
    return "\n".join(script)


def _pattern(shown: str) -> str:
    """Return an expression for a shown output: blanks at line ends do not count."""
    return r"\s*".join(
        ".*?".join(map(re.escape, line.split("…"))) for line in shown.strip().splitlines()
    )


def test_the_commands_of_the_guide_print_what_it_shows(tmp_path: Path) -> None:
    port = free_port()
    steps = _steps(port)
    commands = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "RECSERVE_PORT": str(port),
    }
    done = subprocess.run(
        ["bash", "-c", _script(steps, port)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    printed = done.stdout.split(END_OF_BLOCK)
    assert len(printed) == len(steps) + 1, f"{printed[-1]}\n{done.stderr}"
    compared = 0
    for (command, shown), output in zip(steps, printed, strict=False):
        if shown is not None:
            assert re.fullmatch(_pattern(shown), output.strip(), re.DOTALL), (
                f"{command}printed\n{output}\nand the guide shows\n{shown}"
            )
            compared += 1
    assert compared >= 9
