"""A finished map without speckle: smoothed over the whole of it, so that nothing shows where it was cut."""
