"""The cropmap command."""
