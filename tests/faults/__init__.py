"""A campaign of faults: processes killed, files damaged, servers that misbehave. `python -m tests.faults`."""
