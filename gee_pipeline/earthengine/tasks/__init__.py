"""Batch tasks of Earth Engine: started once, followed to their end, whatever they write."""
