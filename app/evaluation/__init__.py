"""Honest measuring of the serving engine: what is held out, what is asked, what it came to."""
