"""Bundles on disk: the manifest, writing, verifying and reading, and which generation serves."""
