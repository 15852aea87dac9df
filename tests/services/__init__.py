"""Services that a test starts.

`environment.py` makes the environment of a process, `processes.py` starts and ends it, `programs.py` has the programs
of Boxqueue, `redis.py` and `postgres.py` start the servers beside them, and `client.py` is an HTTP client.
"""
