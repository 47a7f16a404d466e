"""Caches of finished answers, local and shared, and single flight for identical requests."""
