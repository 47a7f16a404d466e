"""Fixtures for every folder of tests."""

import os

# As `app.cli` does, before anything loads torch or FAISS.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from tests.redis_server import redis_server

__all__ = ["redis_server"]
