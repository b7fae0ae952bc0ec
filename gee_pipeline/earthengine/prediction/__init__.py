"""Maps on Earth Engine's servers: composites without gaps, how likely each class is, codes and layers."""
