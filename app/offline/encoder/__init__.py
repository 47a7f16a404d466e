"""From a sentence-transformer to the files that serve, and to the index over item vectors."""
