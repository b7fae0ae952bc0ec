"""Answers to a sample in, accuracy and areas out."""
