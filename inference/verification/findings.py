"""What was looked at in a run or a publication, and whether it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gee_pipeline.errors import MismatchError


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    """What it is, in a word or two."""
    holds: bool | None
    """Whether it is as it should be; None where it could not be looked at."""
    text: str
    """What was found."""


@dataclass(frozen=True)
class Verified:
    """All that was looked at."""

    folder: Path
    """Folder of the run, or of the publication."""
    findings: tuple[Finding, ...]
    """In the order of looking."""
    digests: Mapping[str, str]
    """What identifies each part, to compare with another machine's."""
    way_out: str
    """What to do where something does not hold, one sentence."""

    @property
    def holds(self) -> bool:
        """Whether nothing was found that is not as it should be."""
        return all(finding.holds is not False for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "folder": str(self.folder),
            "verified": self.holds,
            "findings": [asdict(finding) for finding in self.findings],
            "digests": dict(self.digests),
        }

    def require(self) -> None:
        """Refuse a folder of which something is not as it should be.

        Raises:
            MismatchError: Names what.
        """
        faults = [finding for finding in self.findings if finding.holds is False]
        if faults:
            named = "".join(f"\n  {fault.name}: {fault.text}" for fault in faults)
            raise MismatchError(f"{self.folder} is not what it says:{named}\n{self.way_out}")
