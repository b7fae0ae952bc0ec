"""The tests of cropmap; they mirror the packages."""
