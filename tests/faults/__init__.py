"""What a bad day does to saved work: processes that are killed, full disks, folders that vanish, clocks that jump.

All of it: `python -m pytest -m "slow or not slow" tests/faults`, some minutes; `make test` takes a few points of each.
"""
