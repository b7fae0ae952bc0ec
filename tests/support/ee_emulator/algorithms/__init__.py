"""What the emulator does for each algorithm; importing this package declares them all."""

from tests.support.ee_emulator.algorithms import (  # noqa: F401
    arrays,
    classifiers,
    collections,
    containers,
    dates,
    elements,
    filters,
    geometry,
    image_math,
    images,
    joins,
    painting,
    placing,
    reducers,
    sampling,
)
