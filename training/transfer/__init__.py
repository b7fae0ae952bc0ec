"""The transfer benchmark: models trained in one region and judged in others, beside the published numbers."""
