"""CropGlobe, the published samples, fetched."""
