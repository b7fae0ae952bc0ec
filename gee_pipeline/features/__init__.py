"""What a forest looks at: the names of its features, and harmonic coefficients."""
