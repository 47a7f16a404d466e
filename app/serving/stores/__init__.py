"""Where events and catalogue changes are kept: SQLite or Redis, and users of the bundle."""
