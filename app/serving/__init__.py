"""The asynchronous side: decides which requests go together and when. Sees only ports."""
