"""Shelves: several named rows of items for one user, in one pass of the engine."""
