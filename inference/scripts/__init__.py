"""Maps on Earth Engine's servers as scripts for the Code Editor, or for Python, that do without cropmap."""
