"""The predictions of a run become a map: rasters, legend, statistics, report and STAC item."""
