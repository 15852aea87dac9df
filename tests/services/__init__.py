"""Services of a test's own: how they are set up, started, asked and ended.

`environment.py` says what a process is given, `processes.py` starts it and leaves nothing of it, `programs.py` knows
the programs of Boxqueue, `redis.py` the Redis beside them, and `client.py` asks over HTTP.
"""
