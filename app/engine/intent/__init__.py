"""Understands queries: from words to an `Intent`, by the values of the catalogue and phrase files.

No name or value of a catalogue stands in this code; no word of a language does.
"""
