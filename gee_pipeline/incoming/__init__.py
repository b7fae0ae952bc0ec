"""What comes from outside: addresses and geometries, checked before they are used."""
