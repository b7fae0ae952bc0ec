"""Small networks that map like a large one: taught by its answers, compared with it on places held out."""
