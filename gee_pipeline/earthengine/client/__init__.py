"""Talking to Earth Engine: one session, its limits, faults and what was spent."""
