"""What Dockerfile and docker-compose.yml promise, as far as their text shows it.

`tests/e2e/test_compose.py` looks at running containers.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.test_architecture import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
HADOLINT = shutil.which("hadolint") or ROOT / ".ci" / ".venv" / "bin" / "hadolint"


def hadolint(dockerfile: Path) -> list[str]:
    done = subprocess.run(
        [HADOLINT, "--no-color", "--config", ROOT / ".hadolint.yaml", dockerfile],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.process
@pytest.mark.skipif(not Path(HADOLINT).exists(), reason="no hadolint: `make test` installs it")
def test_the_linter_of_dockerfiles_finds_nothing(tmp_path: Path) -> None:
    assert hadolint(ROOT / "Dockerfile") == []
    worse = tmp_path / "Dockerfile"
    worse.write_text(DOCKERFILE.replace("USER 10001:10001", "RUN cd /tmp && sudo ls\nUSER root"))
    assert {re.findall(r"DL\d+", line)[0] for line in hadolint(worse)} >= {"DL3002", "DL3004"}


def test_the_image_that_serves_runs_as_nobody_known() -> None:
    last = DOCKERFILE.rsplit("\nFROM ", 1)[1]
    assert last.startswith("base AS runtime\n")
    assert re.findall(r"^USER (.*)$", last, re.MULTILINE) == ["10001:10001"]
    # What is installed after that line would belong to it.
    assert "RUN" not in last.split("\nUSER ", 1)[1]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_container_has_as_few_rights_as_it_can(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    # It runs as root, unless `--user` is given, and writes into a folder of whoever called it.
    assert service.get("cap_add", []) == (["DAC_OVERRIDE"] if name == "builder" else [])
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_base_images_are_named_by_release_and_can_be_pinned() -> None:
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    stages = set(re.findall(r" AS (\w+)$", DOCKERFILE, re.MULTILINE))
    assert bases - stages == {"${PYTHON_IMAGE}", "scratch"}
    default = re.findall(r"^ARG PYTHON_IMAGE=(.*)$", DOCKERFILE, re.MULTILINE)
    assert default == ["python:3.11-slim-bookworm"]
    for name in ("app", "builder"):
        args = SERVICES[name]["build"]["args"]
        assert args["PYTHON_IMAGE"] == f"${{PYTHON_IMAGE:-{default[0]}}}"
    assert SERVICES["redis"]["image"] == "${REDIS_IMAGE:-redis:7-bookworm}"
