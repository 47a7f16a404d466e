"""Explains answers: what adds to a score, the facts behind it, and where an item was lost."""
