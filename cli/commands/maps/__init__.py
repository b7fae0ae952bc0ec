"""What is done with a finished map, besides its assessment."""
