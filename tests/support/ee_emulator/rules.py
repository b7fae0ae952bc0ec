"""What nobody has said about the service, and the emulator can therefore do in more than one way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ClassifierRules:
    """How classifiers made of trees behave."""

    refused_modes: frozenset[str] = frozenset()
    """Output modes that an ensemble of trees does not have; each one is documented for some classifier."""
    ties: Literal["smallest", "largest", "first"] = "smallest"
    """Class of CLASSIFICATION where several have most votes; `first` is that of the earliest tree."""
    mode_is_kept: bool = True
    """Whether a classifier comes back from its asset with the output mode that it was exported with."""
