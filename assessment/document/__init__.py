"""One page to publish: the map, its areas, how right it is, and how it was made."""
