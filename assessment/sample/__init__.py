"""A map in, a blind probability sample out."""
