"""Which scenes of a source are used: all, all but some, or all that can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

BadScenes = Literal["stop", "leave-out"]
"""What becomes of a scene that cannot be used: an error, or it is left out and counted."""

NAMED: Final = 5
"""Scenes that are left out, as a notice names them."""


@dataclass(frozen=True)
class SceneChoice:
    """Which scenes are used; a part of the source's identity."""

    left_out: tuple[str, ...] = ()
    """Ids of items that are not used, in order."""
    bad: BadScenes = "stop"
    """What becomes of a scene that cannot be used."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "left_out", tuple(sorted(set(self.left_out))))

    def describe(self) -> dict[str, Any]:
        """What differs from all scenes, as JSON values."""
        named = {"left_out": list(self.left_out)} if self.left_out else {}
        return named | ({"bad_scenes": self.bad} if self.bad != "stop" else {})


ALL: Final = SceneChoice()
"""Every scene; one that cannot be used is an error."""


@dataclass(frozen=True)
class LeftOut:
    """A scene that is not used."""

    id: str
    """Id of its item."""
    why: str
    """Why, a sentence."""


def left_out_notice(scenes: list[LeftOut]) -> tuple[str, ...]:
    """What to say of scenes that cannot be used and are left out; nothing where there is none."""
    if not scenes:
        return ()
    named = "; ".join(f"{scene.id}: {scene.why.rstrip('.')}" for scene in scenes[:NAMED])
    more = f"; and {len(scenes) - NAMED:,} more" if len(scenes) > NAMED else ""
    return (
        f"Scenes that cannot be used are left out (--bad-scenes leave-out): {len(scenes):,} ({named}{more}).",
    )
