"""From labelled series of one place to a model for another without labels there."""
