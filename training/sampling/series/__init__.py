"""Where the series of samples come from: Earth Engine's servers, or scenes that are read here."""
