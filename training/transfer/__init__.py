"""The transfer benchmark: models trained in one region and tested in others, with the published numbers."""
