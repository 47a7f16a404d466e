"""Texts to vectors: the runtimes of the encoder, its tokens, and remembered queries."""
