"""The cells of a run by batch tasks of Earth Engine: exported, then collected."""
