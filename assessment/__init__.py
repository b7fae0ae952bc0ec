"""A finished map and a reference sample -> how right the map is, and how many hectares there are."""
