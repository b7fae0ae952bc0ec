"""Models on Earth Engine's servers: deployed, and compared with this machine."""
