"""Fixtures that several folders of unit tests share, because they take long to make."""

import pytest

from tests.learned_rig import build_ring


@pytest.fixture(scope="session")
def ring_bundle(tmp_path_factory):
    """The bundle of `tests.learned_rig`; tests only read it."""
    folder = tmp_path_factory.mktemp("ring")
    return build_ring(folder, folder / "shop").bundle
