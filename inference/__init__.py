"""Composites become a crop map."""
