"""A bundle on disk: its manifest, how it is written and read, and which generation serves."""
