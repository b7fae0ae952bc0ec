"""Composites on Earth Engine's servers: asked for, fetched or exported, and what they cost."""
