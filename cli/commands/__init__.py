"""The subcommands of cropmap, one a file."""
