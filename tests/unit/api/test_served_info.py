"""What is served, as metrics."""

import pytest

from app.api.served_info import built_at
from tests.api_rig import served


async def test_version_bundle_and_catalogue_are_shown() -> None:
    async with served() as client:
        before = (await client.get("/metrics")).text
        await client.put("/items", json=[{"id": "new", "title": "A new one"}])
        after = (await client.get("/metrics")).text

    assert 'recserve_build_info{python="3.' in before
    assert 'bundle="small",encoder="' in before
    assert 'generation="g1"' in before
    assert "recserve_catalogue_items 7.0" in before
    assert "recserve_catalogue_change 0.0" in before
    assert "recserve_catalogue_items 8.0" in after
    assert "recserve_catalogue_change 1.0" in after
    assert "bundle_built" not in before
    assert "process_resident_memory_bytes" in before


@pytest.mark.parametrize(
    ("generation", "seconds"),
    [
        ("20261130T092204282232Z-b3b28d06", 1796030524.282232),
        ("g1", None),
        ("", None),
        ("20269930T092204282232Z", None),
    ],
)
def test_when_a_bundle_was_built_is_in_its_name(generation: str, seconds: float | None) -> None:
    assert built_at(generation) == seconds
