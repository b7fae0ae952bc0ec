"""Totals and ratios of totals from a probability sample, with their standard errors and intervals."""
