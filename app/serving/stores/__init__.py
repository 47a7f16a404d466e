"""Stores of events and of catalogue changes, in SQLite or Redis; user histories of the bundle."""
