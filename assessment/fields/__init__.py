"""Parcels on a finished map: the class of each, and whether it is what was declared."""
