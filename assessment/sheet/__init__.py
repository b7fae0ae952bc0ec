"""Pages and answer sheets for interpreters: imagery of the points, and nothing of the map."""
