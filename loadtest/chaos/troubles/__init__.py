"""What the world does to the service in trials: slow encoders, items that raise, full disks.

Same form as `loadtest.chaos.faults`, but with these the service has to keep its promises.
"""
