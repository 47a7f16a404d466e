"""What becomes of results: sections and pictures of docs/benchmarks.md."""
