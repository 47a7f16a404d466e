"""Fuzzing: what the service does with what nobody would send on purpose.

python -m loadtest.fuzz             the document, sockets and parsers, for some minutes
python -m loadtest.fuzz.sockets     raw bytes to a running service
python -m loadtest.fuzz.parsers     bodies, filters and queries, guided by coverage
"""
