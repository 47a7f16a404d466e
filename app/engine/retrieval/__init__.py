"""What brings candidates for a request: indexes of vectors and of words, and the sources."""
