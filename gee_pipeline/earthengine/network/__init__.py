"""A small CropNet on Earth Engine's servers: its weights as data, its layers as array expressions."""
