"""A seeded simulation of the service: real parts over fakes of their ports, on a virtual clock.

One seed gives one schedule: what callers, stores, threads and the catalogue do, and when. The real
recommender, batcher, caches, user state, live catalogue and reloader run through it on an event
loop whose time jumps, so seconds take milliseconds and the same seed does the same again. After
every step, and of every answer, it is checked that what the service promises holds.

    schedule ─▶ world ─▶ the service, wired by `app.bootstrap.wire`
                  │           │ asks
                  │           ▼
                  │      engine, stores, caches, threads of the simulation, with faults
                  ▼
                checks

`python -m loadtest.simulation --help` says how it is run.
"""
