"""A sensor that nothing but its data knows: two bands, another scale, a valid range, no clouds."""

from __future__ import annotations

from datetime import date

import numpy as np

from gee_pipeline.sensors import Band, Sensor
from tests.support.sensor_scenes import EMPTY, Shot, holed, plain

MADE_UP = Sensor(
    name="made-up",
    title="Made-up",
    bands=(Band("X1", "X-?1"), Band("X2", "X-?2")),
    collection="MADE/UP",
    unit="number",
    scale=50,
    earth_engine_scale=1000,
    first_day=date(2020, 1, 1),
    valid=(-80.0, 80.0),
)


def made_shot(name: str, time: str, seed: int) -> Shot:
    """A scene of eighths, which all scales hold exactly; some lie outside the valid range."""
    numbers = {band: holed(seed + i, -90, 90) for i, band in enumerate(("X1", "X2"))}
    eighths = {band: np.where(v == EMPTY, v, np.round(v * 8) / 8) for band, v in numbers.items()}
    return plain("made-up", name, time, eighths)
