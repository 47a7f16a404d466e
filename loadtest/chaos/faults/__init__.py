"""Seeded faults: each module breaks one promise of the service, and a trial must find it.

The first line of a module says what is broken. `seed()` swaps the part in this process; it raises
if that part no longer exists. Only `loadtest.chaos.faulty_service` calls it.
"""
