"""What comes from outside: addresses, geometries and files, checked before they are used."""
