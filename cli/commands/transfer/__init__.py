"""Commands that bring a model to another place."""
