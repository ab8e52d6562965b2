"""What syncd costs: requests, time, memory, start-up.

`python -m tests.benchmarks` measures and compares with targets.
"""
