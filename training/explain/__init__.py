"""Why a model decides as it does, and how alike two regions are: numbers and pictures."""
