"""The service keeps what its OpenAPI document promises, for generated input too."""

import re
from pathlib import Path

import pytest

from loadtest.fuzz.document import check_document
from tests.e2e.conftest import serving

pytestmark = pytest.mark.e2e


def test_generated_requests_meet_the_schema(bundle: Path, tmp_path: Path) -> None:
    with serving(bundle, tmp_path) as service:
        done = check_document(service.url, tmp_path, examples=100, seed=1)
        alive = service.client.get("/readyz").status_code

    assert done.returncode == 0, done.stdout
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated, done.stdout
    assert int(generated[1]) >= 500
    assert alive == 200
