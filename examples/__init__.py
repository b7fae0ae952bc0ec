"""Examples that run from the repository root: simulated scenes, and the demo that maps them."""
