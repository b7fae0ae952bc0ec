"""How pictures look: the colours of classes, and one style for all that is printed."""
