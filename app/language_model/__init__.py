"""The language model behind an HTTP endpoint, for serving and for offline work."""
