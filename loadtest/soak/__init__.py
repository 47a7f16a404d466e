"""Soak runs: what a service holds must stay flat, however long and whatever it is asked."""
