"""One measurement or trial a module; each runs as `python -m loadtest.scenarios.NAME`."""
