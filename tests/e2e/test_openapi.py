"""The service keeps what its OpenAPI document promises, for generated input too."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import serving

pytestmark = pytest.mark.e2e

SCHEMATHESIS = str(Path(sys.executable).parent / "st")

# All checks but one: rules between fields, and names that only this catalogue knows, are not in the
# schema, so input that fits it may be refused. A generated `budget_ms` may be a single one: on a
# busy machine the answer is then 504, rightly.
CONFIGURATION = """
[checks]
positive_data_acceptance.enabled = false

[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "504"]

# A wrong event, item or request of a list is refused by itself, and the call succeeds. Categories
# may come in more forms than the schema tells.
[[operations]]
include-operation-id = ["send_events", "put_items", "patch_item", "recommend_batch",
    "fill_shelves", "try_rules"]
checks.negative_data_rejection.enabled = false
"""


def test_generated_requests_meet_the_schema(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    with serving(bundle, tmp_path) as service:
        done = subprocess.run(
            [
                *(SCHEMATHESIS, "run", f"{service.url}/openapi.json"),
                *("--phases", "examples,coverage,fuzzing", "--max-examples", "100"),
                *("--seed", "1", "--suppress-health-check", "all", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        alive = service.client.get("/readyz").status_code

    assert done.returncode == 0, done.stdout
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated, done.stdout
    assert int(generated[1]) >= 500
    assert alive == 200
