"""The OpenAPI document against a service: schemathesis draws requests for each operation."""

import subprocess
import sys
from pathlib import Path
from typing import Final

SCHEMATHESIS: Final = str(Path(sys.executable).parent / "st")

# Rules between fields, and names that only one catalogue knows, are not in the schema: so input
# that fits it may be refused. A generated `budget_ms` may be a single one: that is answered with
# 504, rightly.
CONFIGURATION: Final = """
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


def check_document(
    url: str, folder: Path, examples: int, seed: int
) -> "subprocess.CompletedProcess[str]":
    """Let schemathesis check a running service. `folder`: for its settings."""
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    command = [SCHEMATHESIS, "run", f"{url}/openapi.json", "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", str(examples), "--seed", str(seed)]
    command += ["--suppress-health-check", "all", "--no-color"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
