"""Encoders that others trained, tried on crop types: patches of one date, as Chang et al. compare them."""
