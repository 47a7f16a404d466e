"""Load: locust users, and the comparison with a tutorial's service (`loadtest.bench`)."""
