"""For all tests: one thread a process, for the processes of pytest-xdist share the cores."""

import os

# Before torch is imported, and for the commands that tests start: threads of several processes that wait for
# one another on the same cores make a training several times as slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")
