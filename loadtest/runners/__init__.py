"""What scenarios are made of: services to start, load to send, what was measured on what."""
