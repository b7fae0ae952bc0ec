"""A place and a season become composites on disk."""
