"""From files to a bundle: reading, encoding, building. Never imports serving, api or bootstrap."""
