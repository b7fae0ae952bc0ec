"""How the models that ship with the package are made, from real pixels that are not part of it."""
