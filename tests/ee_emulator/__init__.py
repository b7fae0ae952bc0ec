"""A local Earth Engine: expression graphs evaluated with numpy, behind Google's REST API.

It is a test tool. What it assumes about the service is listed in docs/earth_engine_semantics.md.
"""

from contextlib import suppress

from .archive import Archive, ImageAsset, Raster
from .evaluate import evaluate, image_pixels
from .values import EmulatorError

with suppress(ImportError):
    from .catalog import archive_of_catalog
with suppress(ImportError):
    from .answers import Answer
    from .server import Emulator

__all__ = [
    "Answer",
    "Archive",
    "Emulator",
    "EmulatorError",
    "ImageAsset",
    "Raster",
    "archive_of_catalog",
    "evaluate",
    "image_pixels",
]
