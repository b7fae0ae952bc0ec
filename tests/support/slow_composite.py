"""Medians of clear observations, computed one pixel at a time."""

import math

import numpy as np

NODATA = -9999


def slow_composite(stack, clear, days, bins, bin_days):
    """One pixel, bin and band at a time, in Python numbers."""
    observations, bands, height, width = stack.shape
    out = np.full((len(bins), bands, height, width), NODATA, np.int16)
    dropped = 0
    for place, index in enumerate(bins):
        for y in range(height):
            for x in range(width):
                last_of_day = {}
                for obs in range(observations):
                    if clear[obs, y, x] and days[obs] // bin_days == index:
                        dropped += days[obs] in last_of_day
                        last_of_day[days[obs]] = obs
                for band in range(bands):
                    values = sorted(int(stack[obs, band, y, x]) for obs in last_of_day.values())
                    if values:
                        middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
                        out[place, band, y, x] = math.floor(middle + 0.5)
    return out, dropped
