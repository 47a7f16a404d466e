"""Trials of reliability: each shows a promise with real processes, and can be shown to fail."""
