"""A forest on Earth Engine's servers: deployed, compared with this machine, and as a script."""
