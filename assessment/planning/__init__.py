"""How many units a sample needs, where, and what standard errors it will have."""
