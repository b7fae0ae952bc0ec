"""The subcommands of cropmap, one per file."""
