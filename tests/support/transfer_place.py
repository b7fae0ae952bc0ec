"""Small made regions in CropGlobe's packaging."""

from pathlib import Path

import numpy as np

CORN, SOYBEANS, RICE, WHEAT, SUGARCANE, COTTON, OTHER = range(7)


def write_region(
    folder: Path, code: str, counts: dict[int, int], *, places: bool = True, seed: int = 0
) -> Path:
    """A hump whose time tells the class, less clearly with larger seeds; every third bin is a gap."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(list(counts), list(counts.values()))
    rng.shuffle(labels)
    peak = 28 + 5 * labels[:, None] + rng.normal(0, 1 + seed, (len(labels), 1))
    hump = 3000 * np.exp(-(((np.arange(73) - peak) / 4) ** 2))
    series = np.full((len(labels), 10, 73), 800.0)
    series[:, 3:8] += hump[:, None, :]
    series += rng.normal(0, 150, series.shape)
    series[:, :, 2::3] = -9999
    where = {}
    if places:
        block = rng.permutation(len(labels)) % 16
        where["lon"] = -91 + 0.5 * (block % 4) + rng.uniform(0.02, 0.48, len(labels))
        where["lat"] = 35 + 0.5 * (block // 4) + rng.uniform(0.02, 0.48, len(labels))
    path = folder / f"median_S2_{code}_month1-12_day5.npz"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(path, fea=series.round().astype(np.int16), lbl=labels, **where)
    return path


def write_regions(folder: Path) -> Path:
    """USA with five classes; FRA with one class less and one more; CHN, whose map knows rice alone."""
    write_region(folder, "USA", {CORN: 24, SOYBEANS: 24, RICE: 24, COTTON: 24, OTHER: 24})
    write_region(folder, "FRA", {CORN: 12, SOYBEANS: 10, RICE: 8, WHEAT: 6, OTHER: 12}, seed=1)
    write_region(folder, "CHN", {RICE: 14, OTHER: 18}, seed=2)
    return folder


def write_features(
    folder: Path, code: str, counts: dict[int, int], *, width: int = 64, seed: int = 0
) -> Path:
    """Features of which the first few tell the class, in the packaging of AlphaEarth's embeddings."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(list(counts), list(counts.values()))
    values = rng.normal(0, 1, (len(labels), width))
    values[np.arange(len(labels)), labels] += 4
    path = folder / f"alphaearth_embedding_{code}.npz"
    np.savez(path, fea=values.astype(np.float32), lbl=labels)
    return path
