"""Fakes of our ports, shipped for tests and load tests; they pass the same contract suites."""
