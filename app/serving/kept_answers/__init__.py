"""Keeping answers beside the path: what is written of an answer, and the queue of its writer."""
