"""Load tests: users for locust, comparisons with other services, and trials under load.

- `loadtest/locustfile.py`: users and scenarios for locust
- `loadtest.runners`: what a measurement is made of (services, load generators, queries)
- `loadtest.scenarios`: one measurement or trial a module, `python -m loadtest.scenarios.NAME`
- `loadtest.reports`: sections and pictures of docs/benchmarks.md, `python -m loadtest.reports.NAME`
- `loadtest/peers`: the services that recserve is compared with
- `loadtest/results`: the newest result of each kind and machine
"""
