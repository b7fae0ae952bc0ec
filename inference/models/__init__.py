"""Models: their files, the input they take, what they predict and how they run fast."""
