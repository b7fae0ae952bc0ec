"""Commands that make models and tell how good they are."""
