"""A ready model on samples that did not train it: how right it is, and whether its confidence says so."""
