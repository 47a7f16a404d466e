"""How the bytes of a file become rows: its encoding, its dialect, JSON, Parquet."""
