"""Where labels come from: what the values of a crop map mean, and which class the land of a square has."""
