"""Random Forests on Earth Engine's servers: their trees as assets, their predictions as graphs."""
