"""How good predictions are: scores, and confidence that is a frequency."""
