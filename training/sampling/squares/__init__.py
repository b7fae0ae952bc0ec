"""The squares that samples are drawn in, the points of their lattice, and the rule of the draw."""
