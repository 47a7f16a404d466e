"""A minute of fuzzing: raw bytes to a service, and changed inputs to the parsers.

Seeds and numbers of inputs are fixed, so that what fails once fails again. The longer form is
`make fuzz`.
"""

from pathlib import Path

import pytest

from loadtest.fuzz.parsers import TARGETS, at_random
from loadtest.fuzz.sockets import fuzz
from loadtest.runners.services import Service, get
from loadtest.runners.wide_shop import build_wide, serve_command

pytestmark = [pytest.mark.e2e, pytest.mark.process]


def test_raw_bytes_never_make_it_fail_hang_or_end(tmp_path: Path) -> None:
    failures: list[tuple[bytes, str]] = []
    command, port = serve_command(build_wide(tmp_path, 200), tmp_path / "data")
    with Service("fuzzed", command, port, tmp_path / "fuzzed.log"):
        counted = fuzz(port, 20, 1, lambda raw, wrong: failures.append((raw, wrong)))
        alive = get(port, "/livez")[0]

    assert failures == []
    assert alive == 200
    assert counted["sent"] > 200
    assert counted["2xx"] > 0
    assert counted["4xx"] > 0


@pytest.mark.parametrize(
    ("target", "inputs"), [("bodies", 10_000), ("filters", 200_000), ("queries", 25_000)]
)
def test_changed_inputs_are_read_or_refused(target: str, inputs: int) -> None:
    n, failed = at_random(target, 1, inputs=inputs)

    assert failed is None
    assert n == inputs


def test_all_targets_are_tried() -> None:
    assert set(TARGETS) == {"bodies", "filters", "queries"}
