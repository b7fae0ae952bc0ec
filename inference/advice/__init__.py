"""Before a map is made: does the model fit the place? Told from a few squares of it."""
