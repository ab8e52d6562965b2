"""syncd beside what a user would run instead: the same local servers, the same edits, the same faults.

`python -m tests.benchmarks.alternatives` prints the table. Each alternative is a process of its own; its passes are
started one after the other, as cron would. What happened is counted at the servers, never asked of the program.
"""
