"""Finished answers kept in the process and in Redis, and identical requests that share work."""
