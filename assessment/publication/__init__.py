"""Maps of several years and regions as one folder to publish: rasters, tables, metadata, STAC, QGIS."""
