"""The models that are trained and compared: CropNet and what the paper measures it against."""

from training.models.registry import MODELS as MODELS
from training.models.registry import ModelSpec as ModelSpec
