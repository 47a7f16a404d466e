"""recserve: low-latency recommendations from words and behaviour."""

__version__ = "0.1.0"
