"""A local Earth Engine: expression graphs evaluated with numpy, behind Google's REST API.

It is a test tool. What it assumes about the service is listed in docs/earth_engine_semantics.md.
"""

from .answers import Answer
from .archive import Archive, ImageAsset, Raster
from .catalog import archive_of_catalog
from .evaluate import evaluate, image_pixels
from .log import LoggedRequest
from .rules import ClassifierRules
from .server import Emulator
from .values import EmulatorError

__all__ = [
    "Answer",
    "Archive",
    "ClassifierRules",
    "Emulator",
    "EmulatorError",
    "ImageAsset",
    "LoggedRequest",
    "Raster",
    "archive_of_catalog",
    "evaluate",
    "image_pixels",
]
