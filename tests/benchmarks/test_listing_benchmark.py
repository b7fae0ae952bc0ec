"""The benchmark of listing measures whole catalogs, and names the limits that are missed."""

from pathlib import Path

from benchmarks import listing
from benchmarks.listing import Cost


def test_all_items_are_read_kept_and_opened(tmp_path: Path) -> None:
    catalog = listing.make_catalog(tmp_path, 150)
    for step in listing.STEPS.values():
        cost = step(catalog, tmp_path / "scenes.npz")
        assert cost.items == 150
        assert cost.seconds > 0


def test_limits_are_for_each_item() -> None:
    assert listing.missed("read", Cost(50_000, 29.9, 300_000_000)) == []
    assert listing.missed("read", Cost(50_000, 30.1, 300_000_001)) == ["read: CPU time", "read: memory"]
