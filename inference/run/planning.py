"""Plans a run, and decides whether a folder can continue with it; the only thing written is the plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import shapely
from shapely.geometry.base import BaseGeometry

from gee_pipeline.aoi import Aoi
from gee_pipeline.bands import PIXEL_SIZE
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.grid import CELL_SIZE, Cell, Grid, inside, make_grid, name_crs
from gee_pipeline.incoming.addresses import is_remote
from gee_pipeline.layers import LayerName, in_order
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season
from gee_pipeline.source import SceneSource, Source
from gee_pipeline.store import composite_path
from inference.models.crop_class import CropClass
from inference.record.lock import LOCK_FILE, OWNER_FILE, run_lock
from inference.run.cropland import CroplandMask
from inference.run.ledger import read_ledger
from inference.run.plan import (
    AREA_FILE,
    CONFIG_FILE,
    MODEL_FILES,
    RUN_FILE,
    PlannedKind,
    PlannedModel,
    RunPlan,
    load_plan,
    span,
)
from inference.run.prediction import prediction_path

_SAME_PLACE = 0.01
"""Metres by which corners of one area may differ: two versions of PROJ agree to a millimetre."""


class MapModel(Protocol):
    """What a plan takes from a model, be it a checkpoint or a forest."""

    @property
    def classes(self) -> tuple[CropClass, ...]:
        """What its codes mean."""

    @property
    def recipe(self) -> Recipe:
        """How its input is made from scenes."""

    @property
    def digest(self) -> str:
        """Sixteen hex digits of its content."""


def plan_run(
    aoi: Aoi,
    season: Season,
    recipe: Recipe,
    source: Source,
    *,
    bins: range | None = None,
    crs: str | None = None,
    like: Path | None = None,
    checkpoint: MapModel | None = None,
    checkpoint_path: Path | None = None,
    kind: PlannedKind = "checkpoint",
    cropland: CroplandMask | None = None,
    layers: tuple[LayerName, ...] = (),
    cell_size: int = CELL_SIZE,
) -> RunPlan:
    """What a run shall do; nothing is written.

    Args:
        aoi: Area to map.
        season: Season to map.
        recipe: How composites are made; with a checkpoint, the checkpoint's own.
        source: Where composites come from.
        bins: Bins of the composites; None takes the recipe's window.
        crs: Projected CRS of the grid; None takes the UTM zone.
        like: Raster whose pixels the map has, in place of a CRS.
        checkpoint: The model of a map; None plans composites only.
        checkpoint_path: File of the model.
        kind: What the model is, and where it predicts.
        cropland: Where to map; None maps the whole area.
        layers: Layers on request, in the order of the table.
        cell_size: Pixels along one side of a cell.

    Raises:
        InputError: The area has no grid in that CRS, or the mask does not overlap the area.
        MismatchError: The recipe is not the checkpoint's.
    """
    if checkpoint is not None:
        checkpoint.recipe.require_same(recipe, "The model", "the run", "Map with the recipe of the model.")
    if cropland is not None:
        cropland.require_overlap(aoi)
    grid = make_grid(aoi, crs, cell_size, like=like)
    plan = RunPlan(
        grid=grid,
        area=aoi.to(str(grid.geobox.crs)),
        season=season,
        recipe=recipe,
        bins=recipe.window if bins is None else bins,
        source=_json(source.describe()),
        model=_planned_model(checkpoint, checkpoint_path, kind),
        cropland=None if cropland is None else _json(cropland.describe()),
        layers=layers,
        scenes=_fingerprints(source, aoi, season, recipe.window if bins is None else bins),
        reader=source,
    )
    _require_pixel(plan)
    return plan


def open_or_create(folder: Path, plan: RunPlan) -> tuple[RunPlan, bool]:
    """Make a folder the run of a plan, or find that it is.

    Composites without a model may get one later: a plan with a model takes over the composites of a plan
    without, and keeps its bins where there are more.

    Args:
        folder: Folder of the run; made when missing.
        plan: What shall be done.

    Returns:
        The plan to work by and whether the folder held the run already.

    Raises:
        InputError: The folder holds other files, or another process works in it.
        MismatchError: The folder holds a run of something else; the message says what differs.
        CorruptFileError: The folder's run.json is damaged.
        DiskFullError: The disk has no room.
    """
    _make(folder)
    _require_ours(folder)
    with run_lock(folder):
        if not (folder / RUN_FILE).exists():
            plan.save(folder)
            return plan, False
        former = load_plan(folder)
        merged = _continued(former, plan, folder)
        for cell in _doubtful_cells(former, plan, folder):
            composite_path(folder, cell).unlink(missing_ok=True)
            prediction_path(folder, cell).unlink(missing_ok=True)
        if plan.model is not None:
            merged.save(folder)
        elif merged.scenes != former.scenes:
            replace(former, scenes=merged.scenes).save(folder)  # an export takes no model away from a map
        return merged, True


def going_on(folder: Path, plan: RunPlan) -> RunPlan:
    """What `open_or_create` returns for a folder, to know it before anything is written.

    Args:
        folder: Folder of the run, which need not exist.
        plan: What shall be done.

    Raises:
        InputError: The folder holds other files.
        MismatchError: The folder holds a run of something else; the message says what differs.
        CorruptFileError: The folder's run.json is damaged.
    """
    if (folder / RUN_FILE).exists():
        return _continued(load_plan(folder), plan, folder)
    _require_ours(folder)
    return plan


def differences(former: RunPlan, plan: RunPlan) -> list[str]:
    """One line for each thing in which a plan cannot continue what another has computed."""
    pairs: dict[str, tuple[Any, Any]] = {
        "CRS": (name_crs(former.grid.geobox.crs), name_crs(plan.grid.geobox.crs)),
        "grid": (_outline(former.grid), _outline(plan.grid)),
        "area": (_area_text(former.area), _area_text(_aligned(plan.area, former.area))),
        "season": (_season_text(former.season), _season_text(plan.season)),
    }
    if not set(plan.bins) <= set(former.bins):
        pairs["bins"] = (span(former.bins), span(plan.bins))
    was, now = former.shown_source, plan.shown_source
    for key in sorted({*was, *now}):
        if not (key == "href" and _was_moved(former, plan)):
            pairs[f"source {key}"] = (was.get(key), now.get(key))
    if former.model and plan.model:
        pairs["model"] = (_model_text(former.model), _model_text(plan.model, former.model))
        pairs["cropland mask"] = (_mask_text(former.cropland), _mask_text(plan.cropland))
    pairs |= _recipes(former, plan)
    return [f"{name}: {was} in the run, {now} now" for name, (was, now) in pairs.items() if was != now]


def _continued(former: RunPlan, plan: RunPlan, folder: Path) -> RunPlan:
    """The former plan with what may be new: the source's access, the model's file, a first model, layers.

    A layer that the map has stays, also where it is not asked for again.
    """
    if lines := differences(former, plan):
        raise MismatchError(
            f"The folder {folder} holds a run of something else; a run never mixes two. Different are "
            + "; ".join(lines)
            + f". Choose another --out, or continue the former run with --config {folder / CONFIG_FILE}."
        )
    _require_same_files(former, plan, folder)
    changed = replace(
        former,
        reader=plan.reader,
        version=plan.version,
        model=plan.model,
        network_form=former.network_form or plan.network_form,
        scenes={**former.scenes, **{name: digest for name, digest in plan.scenes.items() if digest}},
    )
    if plan.model is None:
        return changed
    layers = in_order((*former.layers, *plan.layers))
    return replace(changed, recipe=plan.recipe, cropland=_continued_mask(former, plan), layers=layers)


def _continued_mask(former: RunPlan, plan: RunPlan) -> Mapping[str, Any] | None:
    """The mask of a plan, under the path that the run knows its file by.

    Paths are part of a run's identity: `run/../mask.tif` of a run.toml must not make all cells again.
    """
    was, now = former.cropland, plan.cropland
    if former.model is None or was is None or now is None:
        return now
    both = Path(was["path"]), Path(now["path"])
    return was if all(path.is_file() for path in both) and both[0].samefile(both[1]) else now


def _fingerprints(source: Source, aoi: Aoi, season: Season, bins: range) -> dict[str, str]:
    return source.fingerprints(aoi.lonlat, season, bins) if isinstance(source, SceneSource) else {}


def _require_same_files(former: RunPlan, plan: RunPlan, folder: Path) -> None:
    """Refuse to mix: a finished cell shows what its scenes were, the next ones what they are now.

    A scene that no finished cell shows may change, so a file that could not be read can be restored; so may
    one for which a cell failed (`_doubtful_cells`). Scenes that are added to a catalog, or removed, make
    another source already (`Source.describe`); of an API those that are gone are refused here, and
    `added_scenes` counts the others. A run of version 0.1.0 does not say what its scenes were.
    """
    known, now = former.scenes, plan.scenes
    gone = sorted(known.keys() - now.keys()) if now and former.bins == plan.bins else []
    if gone and any(_begun(former, folder)):
        raise MismatchError(
            f"A run never mixes two sources. {len(gone):,} scenes of the run in {folder} are gone, "
            f"first {gone[0]}. Choose another --out, or a source that still has them."
        )
    changed = _changed(former, plan)
    changed -= _failed_for(changed, former, folder)
    if shown := _showing(former, plan, folder, changed):
        raise MismatchError(
            f"A run never mixes two sources. The files of {len(changed):,} scenes have changed since (link, "
            f"scale, offset, nodata, size or time of change), first {min(changed)}; {len(shown):,} finished "
            f"cells of {folder} show them. Choose another --out, or put the files back as they were."
        )


def _doubtful_cells(former: RunPlan, plan: RunPlan, folder: Path) -> list[Cell]:
    """The finished cells that show a scene that has changed, and for which another cell failed.

    They saw a damaged or wrong file, and have to be made again.
    """
    return _showing(former, plan, folder, _failed_for(_changed(former, plan), former, folder))


def _changed(former: RunPlan, plan: RunPlan) -> set[str]:
    """The scenes whose files are others now, by name."""
    known, now = former.scenes, plan.scenes
    both = ((name, known[name], now[name]) for name in known.keys() & now.keys())
    return {name for name, was, is_now in both if was and is_now and was != is_now}


def _failed_for(scenes: set[str], plan: RunPlan, folder: Path) -> set[str]:
    """Those of some scenes for which a cell of a run failed."""
    if not scenes:  # a ledger of a million cells takes seconds to read
        return set()
    failed = " ".join(read_ledger(folder, "map" if plan.model else "composites").failed.values())
    return {name for name in scenes if f"scene {name.partition(' ')[0]} " in failed}


def added_scenes(folder: Path, plan: RunPlan) -> tuple[int, int]:
    """How many scenes came since a run began, and how many of its finished cells lack one of them.

    Args:
        folder: Folder of the run, which need not exist.
        plan: What shall be done.

    Raises:
        CorruptFileError: The folder's run.json is damaged.
    """
    former = load_plan(folder) if (folder / RUN_FILE).exists() else None
    if former is None or not former.scenes:
        return 0, 0
    added = plan.scenes.keys() - former.scenes.keys()
    return len(added), len(_showing(former, plan, folder, added))


def _showing(former: RunPlan, plan: RunPlan, folder: Path, scenes: Collection[str]) -> list[Cell]:
    """The finished cells of a run that are made of any of some scenes."""
    source = plan.reader
    if not scenes or not isinstance(source, SceneSource):
        return []
    cells = _begun(former, folder)
    return [cell for cell in cells if source.shows(cell, former.season, former.bins, scenes)]


def _begun(plan: RunPlan, folder: Path) -> Iterator[Cell]:
    """The cells of a run that have a composite or a prediction."""
    for cell in plan.grid.cells(plan.cells):
        if composite_path(folder, cell).exists() or prediction_path(folder, cell).exists():
            yield cell


def _recipes(former: RunPlan, plan: RunPlan) -> dict[str, tuple[Any, Any]]:
    """Composites share a part of the recipe, two maps share all of it."""
    whole = former.model is not None and plan.model is not None
    was, now = ((p.recipe if whole else p.recipe.composite_part).described() for p in (former, plan))
    return {f"recipe {key}": (value, now[key]) for key, value in was.items()}


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"--out takes a folder, {folder} is or lies in a file. Choose another.") from error
    except OSError as error:
        raise InputError(
            f"The folder {folder} cannot be made: {error.strerror}. Choose another --out."
        ) from error


def _require_ours(folder: Path) -> None:
    """Refuse a folder with other people's files."""
    if (folder / RUN_FILE).exists() or not folder.is_dir():
        return
    # A process killed while it made the run leaves some of these behind.
    ours = {AREA_FILE, LOCK_FILE, OWNER_FILE, *MODEL_FILES.values()}
    names = (path.name for path in folder.iterdir())
    if foreign := sorted(n for n in names if n not in ours and not n.endswith(".part") and n[0] != "."):
        raise InputError(
            f"A new run takes an empty folder, {folder} holds {', '.join(foreign[:3])}"
            f"{' and more' if len(foreign) > 3 else ''}. Choose another --out."
        )


def _require_pixel(plan: RunPlan) -> None:
    if not any(inside(plan.area, cell.geobox).any() for cell in plan.grid.cells(plan.cells)):
        raise InputError(
            f"An area holds the centre of at least one pixel of {PIXEL_SIZE:g} m, this one of "
            f"{plan.area.area:,.1f} m² holds none. Give a larger --aoi."
        )


def _planned_model(checkpoint: MapModel | None, path: Path | None, kind: PlannedKind) -> PlannedModel | None:
    if checkpoint is None:
        return None
    if path is None:
        raise InputError("A run keeps a copy of its model's file: give checkpoint_path with checkpoint.")
    names = tuple(crop.name for crop in checkpoint.classes)
    return PlannedModel(path.name, checkpoint.digest, names, path, kind)


def _aligned(area: BaseGeometry, former: BaseGeometry) -> BaseGeometry:
    """The former area where both are the same to a centimetre."""
    return former if shapely.equals_exact(area, former, _SAME_PLACE) else area


def _area_text(area: BaseGeometry) -> str:
    digest = hashlib.sha256(shapely.to_wkb(area)).hexdigest()[:8]
    return f"{area.area / 1e6:,.3f} km² with {shapely.get_num_coordinates(area):,} corners ({digest})"


def _outline(grid: Grid) -> str:
    (height, width), transform = grid.map_box.shape, grid.geobox.transform
    left, top = (f"{value:.6f}".rstrip("0").rstrip(".") for value in (transform.c, transform.f))
    return f"{width} x {height} pixels in cells of {grid.cell_size} at {left} {top}"


def _season_text(season: Season) -> str:
    return f"{season.year} from {season.start}"


def _was_moved(former: RunPlan, plan: RunPlan) -> bool:
    """Whether a catalog on a disk lies elsewhere now, with scenes that can be compared one by one."""
    was, now = (str(one.shown_source.get("href", "")) for one in (former, plan))
    local = not (is_remote(was) or is_remote(now))
    return local and bool(former.scenes and plan.scenes) and Path(was).name == Path(now).name


def _model_text(model: PlannedModel, former: PlannedModel | None = None) -> str:
    """Name and digest; a model that was renamed keeps its former name."""
    name = former.name if former and former.digest == model.digest else model.name
    return f"{name} ({model.digest}: {', '.join(model.classes)})"


def _mask_text(mask: Mapping[str, Any] | None) -> str:
    if mask is None:
        return "none"
    values = ",".join(str(a) if a == b else f"{a}-{b}" for a, b in mask["values"]) or "non-zero"
    return f"{Path(mask['path']).name} (values {values}, header {mask['header']}, {mask['size']} bytes)"


def _json(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they come back from a file, so that both compare equal."""
    return json.loads(json.dumps(values))
