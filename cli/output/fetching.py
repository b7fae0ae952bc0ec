"""How a download is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.output.reporting import Wording

if TYPE_CHECKING:
    from training.downloads.dataset_folder import FetchProgress


def state(progress: FetchProgress) -> str:
    """One line: the file and how much of all is there."""
    from gee_pipeline.files import size_text

    return f"{progress.path}: {size_text(progress.done)} of {size_text(progress.total)}"


WORDING: Wording[FetchProgress] = Wording(state, lambda now: (now.done, now.total), lambda now: now.path)
"""How the states of a download are said."""
