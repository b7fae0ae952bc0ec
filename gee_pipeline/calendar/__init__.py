"""When crops grow where: a calendar of the world, and which season of cropmap fits a place."""
