"""cropmap in Python: the requests of the commands, and results that show themselves in a notebook::

    import cropmap

    run = cropmap.predict("region.geojson", 2023, source="scenes/catalog.json")
    run.map.classes, run.areas, run.composites, run.show()

Nothing heavy is imported before a function is called. Errors are those of the commands: `CropmapError` and
its kinds in `gee_pipeline.errors`. A session of Earth Engine that the caller has opened stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields as fields_of
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from cropmap.options import known_options
from gee_pipeline.errors import InputError

if TYPE_CHECKING:
    import geopandas

    from assessment.document.facts import Words
    from assessment.evaluation.evaluate import Evaluation
    from assessment.labels.collect import Collected
    from assessment.publication.map_asset import MapAsset
    from assessment.publication.publish import Published
    from assessment.report.report import Report
    from assessment.sample.design import Designed
    from cropmap.run import CropMap, Run
    from gee_pipeline.earthengine.composites.estimate import Estimate
    from gee_pipeline.earthengine.network.network_estimate import NetworkEstimate
    from gee_pipeline.recipe import Recipe
    from inference.advice.advice import Advice
    from inference.models.checkpoint import Checkpoint
    from inference.models.forest_model import ForestModel
    from inference.scripts.script_text import Language
    from inference.workflow.request import ForestRequest, NetworkRequest
    from training.adaptation.adapt import Adapted
    from training.fit.options import Rule
    from training.sampling.sample_file import SampleSummary
    from training.tuning.tune import Tuned

__version__ = version("cropmap")

__all__ = [
    "adapt",
    "advise",
    "assess",
    "code",
    "collect",
    "design",
    "estimate",
    "evaluate",
    "export",
    "fields",
    "open_map",
    "open_model",
    "open_run",
    "predict",
    "publish",
    "sample",
    "suggest",
    "train",
    "tune",
]

Place = str | Path
"""A path."""

RequestT = TypeVar("RequestT")


def predict(
    aoi: Any,
    year: int,
    *,
    out: Place | None = None,
    source: str | None = None,
    model: Place | None = None,
    on: Literal["here", "servers"] = "here",
    progress: bool = True,
    **options: Any,
) -> Run:
    """A crop map of an area and a year, as 'cropmap predict' makes it; the same call goes on.

    Args:
        aoi: The area: a path, a GeoDataFrame or GeoSeries, a pair (shapely geometry, CRS), a shapely geometry
            or a box (west, south, east, north) in degrees, GeoJSON, or an `ee.Geometry`.
        year: Year of the season, 2017 or later.
        out: Folder of the run; None takes the area's name and the year.
        source: STAC catalog or API; None is Google Earth Engine.
        model: File of a model, or `accurate`, `fast` or `wide`; None is `accurate`.
        on: `servers` lets Earth Engine run a small network, such as `fast`, or a deployed forest.
        progress: Whether a bar and notices are shown.
        **options: Further options of the command, such as `layers=("probabilities",)`, `crs="EPSG:3035"`,
            `project="my-project"`, `workers=0`; with the names of the fields of
            `inference.workflow.request.MapRequest`, or `NetworkRequest` and `ForestRequest` on the servers.

    Returns:
        The run with its finished map.

    Raises:
        InputError: Something cannot be used; nothing was written but the file of an area.
        AccessError: Earth Engine cannot be used.
        MismatchError: The folder holds a run of something else.
        IncompleteRunError: Cells failed; the same call continues.
    """
    from cropmap.talk import listening

    _require_where(on)
    known = {"source": source, "model": _model(model), **options}
    with listening(progress) as listener:
        if on == "servers":
            from inference.workflow.served_map import make_served_map

            if source is not None:
                raise InputError(f"On the servers images are those of Earth Engine; omit source={source!r}.")
            del known["source"]
            served = _served_request(aoi, year, out, known)
            make_served_map(served, listener)
            return open_run(served.folder)
        from inference.workflow.crop_map import make_map
        from inference.workflow.request import MapRequest

        request = _request(MapRequest, aoi, year, out, known)
        make_map(request, listener)
        return open_run(request.folder)


def export(
    aoi: Any,
    year: int,
    *,
    out: Place | None = None,
    source: str | None = None,
    season: str | None = None,
    progress: bool = True,
    **options: Any,
) -> Run:
    """The composites of an area and a year, as 'cropmap export' makes them.

    Args:
        aoi: The area, as for `predict`.
        year: Year of the season.
        out: Folder of the run.
        source: STAC catalog or API; None is Google Earth Engine.
        season: `summer`, `winter` or `year`; None is that of `recipe=`, else `summer`.
        progress: Whether a bar and notices are shown.
        **options: Fields of `inference.workflow.request.ExportRequest`, such as `whole_season=True`.

    Raises:
        InputError: Something cannot be used; nothing was written but the file of an area.
        AccessError: Earth Engine cannot be used.
        IncompleteRunError: Cells failed; the same call continues.
    """
    from cropmap.talk import listening
    from inference.workflow.composites import export_composites
    from inference.workflow.request import ExportRequest

    asked = options if season is None else {**options, "recipe": _of_season(season, options.get("recipe"))}
    request = _request(ExportRequest, aoi, year, out, {"source": source, **asked})
    with listening(progress) as listener:
        export_composites(request, listener)
    return open_run(request.folder)


@overload
def estimate(
    aoi: Any,
    year: int,
    *,
    on: Literal["here"] = "here",
    model: None = None,
    progress: bool = True,
    **options: Any,
) -> Estimate: ...


@overload
def estimate(
    aoi: Any, year: int, *, on: Literal["servers"], model: Place, progress: bool = True, **options: Any
) -> NetworkEstimate: ...


def estimate(
    aoi: Any,
    year: int,
    *,
    on: Literal["here", "servers"] = "here",
    model: Place | None = None,
    progress: bool = True,
    **options: Any,
) -> Estimate | NetworkEstimate:
    """What an area takes on Earth Engine: cells, requests, gigabytes, EECU-hours; nothing is kept.

    Args:
        aoi: The area, as for `predict`.
        year: Year of the season.
        on: `servers` estimates a small network there beside composites that are mapped here.
        model: That network, a file or one that ships, such as `fast`.
        progress: Whether notices are shown.
        **options: Fields of `gee_pipeline.earthengine.composites.estimate.EstimateRequest`, such as
            `samples=0`, which only counts and sends nothing; and those of its settings, such as
            `project="my-project"`.

    Raises:
        InputError: Something cannot be used.
        AccessError: Earth Engine cannot be used with the credentials that there are.
    """
    from cropmap.places import passing_area_file
    from cropmap.talk import listening
    from gee_pipeline.earthengine.composites.estimate import EstimateRequest, estimate_area

    _require_where(on)
    if (on == "servers") != (model is not None):
        raise InputError(
            f"An estimate on='servers' is of a model, and another of none; got on={on!r}, model={model!r}."
        )
    known = known_options(EstimateRequest, _with_settings({**options, "year": year}))
    with passing_area_file(aoi, f"area-{year}") as area, listening(progress) as listener:
        if model is None:
            return estimate_area(EstimateRequest(aoi=area, **known), listener.notice)
        from gee_pipeline.earthengine.network.network_estimate import estimate_network
        from inference.workflow.plan_served import network_on_servers

        network = network_on_servers(_model(model))
        request = EstimateRequest(aoi=area, **{**known, "recipe": network.recipe})
        return estimate_network(request, network.served, listener.notice)


def code(
    aoi: Any,
    year: int,
    model: Place,
    *,
    language: Language = "javascript",
    name: str | None = None,
    progress: bool = True,
    **options: Any,
) -> str:
    """A script that makes the map inside Earth Engine without cropmap, as 'cropmap code' writes it.

    Nothing is sent, and no account is needed.

    Args:
        aoi: The area, as for `predict`.
        year: Year of the season.
        model: A small network, a file or one that ships, such as `fast`; or the file of a deployed forest.
        language: `javascript` for the Code Editor, `python` for Google's client.
        name: What tasks and files are called; None takes the area's name and the year.
        progress: Whether notices are shown.
        **options: Fields of `inference.workflow.request.NetworkRequest` or `ForestRequest`; `project` is the
            one that a Python script names.

    Raises:
        InputError: A script cannot make the map.
    """
    from cropmap.places import passing_area_file
    from cropmap.talk import listening
    from inference.workflow.map_code import code_of_map

    if name is None and not isinstance(aoi, str | Path):
        name = f"area_{year}"  # the file of this area is there only meanwhile
    known = {"model": _model(model), **options}
    named = {"project": options["project"]} if options.get("project") else {}
    with passing_area_file(aoi, f"area-{year}") as area, listening(progress) as listener:
        request = _served_request(area, year, None, known)
        return code_of_map(request, language, listener, name=name, **named)


def advise(
    aoi: Any,
    year: int,
    *,
    out: Place,
    source: str | None = None,
    model: Place | None = None,
    squares: int = 8,
    seed: int = 1,
    progress: bool = True,
    **options: Any,
) -> Advice:
    """Whether a model fits a place, from a few squares of it, as 'cropmap advise' tries them.

    Args:
        aoi: The area, as for `predict`.
        year: Year of the season.
        out: Folder where the trial is kept, with advice.json and, where the model tells, curves.png.
        source: STAC catalog or API; None is Google Earth Engine.
        model: File of a network, or `accurate`, `fast` or `wide`; None is `accurate`.
        squares: Squares of 640 m that are tried.
        seed: Seed by which they are drawn.
        progress: Whether a bar and notices are shown.
        **options: Further fields of `inference.workflow.request.MapRequest`.

    Raises:
        InputError: The model is a forest, no square has a class, or something cannot be used.
        AccessError: Earth Engine cannot be used.
        MismatchError: The folder holds the trial of something else.
        IncompleteRunError: Squares failed; the same call continues.
    """
    from cropmap.talk import listening
    from inference.advice.trial import advise as try_model
    from inference.workflow.request import MapRequest

    request = _request(MapRequest, aoi, year, out, {"source": source, "model": _model(model), **options})
    with listening(progress) as listener:
        return try_model(request, request.folder, squares=squares, seed=seed, listener=listener)


def open_run(folder: Place) -> Run:
    """The run of a folder: its composites, map, areas; `show()` lays it on a geemap map.

    Raises:
        InputError: The folder holds no run.
        CorruptFileError: It is damaged.
        MismatchError: Another version of cropmap wrote it.
    """
    from cropmap.run import Run

    return Run.open(Path(folder))


def open_map(place: Place) -> CropMap:
    """A finished map: the folder of a run, its folder `map`, or a map of a publication.

    Raises:
        InputError: There is none.
    """
    from cropmap.run import CropMap

    return CropMap.open(Path(place))


def open_model(model: Place) -> Checkpoint | ForestModel:
    """A model: a file, or `accurate`, `fast` or `wide`.

    Raises:
        InputError: There is no such model.
        CorruptFileError: The file is damaged.
    """
    from inference.models.pixel_model import load_model
    from inference.models.shipped import model_path

    return load_model(model_path(_model(model)))


def sample(aoi: Any, year: int, out: Place, *, reference: str, **options: Any) -> SampleSummary:
    """Labelled series drawn from a reference map, as 'cropmap sample' draws them.

    Args:
        aoi: The area, as for `predict`.
        year: Year of the map and the series.
        out: File that is written, .npz.
        reference: Name of a reference map, or where one of your own lies: `asset:ID`, `table:ID`, a path.
        **options: Fields of `training.sampling.plan.SampleRequest`, those of its rule, such as
            `per_cell=5`, and those of its settings, such as `project="my-project"`.

    Raises:
        InputError: Something cannot be used.
        AccessError: Earth Engine cannot be used.
    """
    from cropmap.places import area_file
    from training.sampling.field_samples import take_samples
    from training.sampling.plan import SampleRequest
    from training.sampling.squares.rule import SamplingRule

    drawn = {
        field.name: options.pop(field.name) for field in fields_of(SamplingRule) if field.name in options
    }
    if drawn:
        options["rule"] = SamplingRule(**known_options(SamplingRule, drawn))
    known = known_options(SampleRequest, _with_settings({"year": year, "reference": reference, **options}))
    return take_samples(SampleRequest(aoi=area_file(aoi, Path(out)), out=Path(out), **known))


def suggest(place: Place | Run, *, progress: bool = True, **options: Any) -> geopandas.GeoDataFrame:
    """Places whose labels would tell most, in the order of the doubt they stand for; no random sample.

    Args:
        place: Folder of a finished run of a network, with its composites.
        progress: Whether a bar is shown.
        **options: Fields of `assessment.labels.suggest.SuggestOptions`, such as `count=100`.

    Returns:
        Points in EPSG:4326 with an empty column `label` to fill in; `collect` takes the table.

    Raises:
        InputError: The run is of composites only or of a forest, or no pixel can be asked for.
        IncompleteRunError: The run is not finished.
    """
    from assessment.labels.suggest import SuggestOptions
    from assessment.labels.suggest import suggest as choose
    from assessment.labels.visit_file import places_of
    from cropmap.talk import counted

    asked = SuggestOptions(**known_options(SuggestOptions, options))
    with counted("cells", progress) as report:
        return places_of(choose(_folder(place), asked, report))


def collect(
    place: Place | Run,
    points: Place | geopandas.GeoDataFrame,
    out: Place,
    *,
    label_column: str = "label",
    buffer: float = 0,
) -> Collected:
    """Samples of labelled places, with the series of a run's composites at their pixels.

    Args:
        place: Folder of a run with composites.
        points: Points, or polygons of which a point inside is taken: a vector file, a CSV with `lon` and
            `lat` in degrees, or a table with geometries, which is written beside `out`.
        out: File of samples that is written, .npz.
        label_column: Column of the labels; rows without one are left out and counted.
        buffer: Metres from the edge of a polygon at least; those without such a place are left out and
            counted.

    Raises:
        InputError: There is no such column, no places or no CRS, or no label lies on the run's composites.
        CorruptFileError: A composite is damaged.
    """
    from assessment.labels.collect import collect as gather
    from cropmap.places import points_file

    file = points_file(points, Path(out))
    _require_new(out, file)
    return gather(_folder(place), file, Path(out), label_column, buffer)


def train(
    samples: Place | Sequence[Place],
    out: Place,
    *,
    classes: Sequence[str] | None = None,
    year: int | None = None,
    legend: Place | None = None,
    model: str = "cropnet",
    split: Rule = "blocks",
    block_size: float = 0.5,
    **options: Any,
) -> Checkpoint:
    """A network trained on files of labelled series, written to a file.

    Args:
        samples: Files of `sample` or `collect`, npz files, or tables.
        out: File of the model that is written, .safetensors.
        classes: Names of the classes; None takes those of the files.
        year: Year of the series, where the files do not say it.
        legend: TOML file that names the labels.
        model: Which network, a name of `inference.models.networks.specification.NAMES`.
        split: What is held out as a whole: `blocks` of land, groups of a `column`, or samples at `random`.
        block_size: Degrees along a side of a block.
        **options: Fields of `training.fit.options.TrainingOptions`, such as `epochs=20`.

    Raises:
        InputError: Something cannot be used.
    """
    from training.threads import let_threads_sleep

    let_threads_sleep()  # before torch is loaded
    from inference.models.checkpoint import save_checkpoint
    from training.fit.options import SplitRule, TrainingOptions
    from training.fit.train import train_checkpoint

    asked = TrainingOptions(**known_options(TrainingOptions, options))
    _require_new(out, *_paths(samples), legend)
    known = _samples(samples, classes=classes, year=year, legend=legend)
    checkpoint = train_checkpoint(known, asked, SplitRule(split, block_size), year=year, model=model)
    save_checkpoint(Path(out), checkpoint)
    return checkpoint


def evaluate(
    model: Place,
    samples: Place | Sequence[Place],
    *,
    year: int | None = None,
    legend: Place | None = None,
    by: Literal["block", "column", "sample"] | None = None,
    block_size: float = 0.25,
) -> Evaluation:
    """How right a ready model is on samples that did not train it, with intervals by blocks.

    Args:
        model: File of a model, or one that ships.
        samples: Files of labelled series.
        year: Year of the series, where the files do not say it.
        legend: TOML file that names the labels.
        by: What is independent; None takes blocks where places are known.
        block_size: Degrees along a side of a block.

    Raises:
        InputError: Something cannot be used.
    """
    from assessment.evaluation.evaluate import evaluate as compare
    from inference.models.pixel_model import open_model as ready

    loaded = open_model(model)
    known = _samples(samples, year=year, legend=legend, any_classes=True, recipe=loaded.recipe)
    footprint = loaded.provenance.get("footprint")
    sets = getattr(loaded, "prediction_sets", None)
    return compare(ready(loaded), known, by=by, block_size=block_size, footprint=footprint, sets=sets)


def tune(
    model: Place,
    samples: Place | Sequence[Place],
    out: Place,
    *,
    year: int | None = None,
    legend: Place | None = None,
    add_classes: Sequence[str] = (),
    **options: Any,
) -> Tuned:
    """A ready model fitted to a new place by a few labels, or left as it is where that is better.

    Args:
        model: File of a network, or `accurate`, `fast` or `wide`.
        samples: Files of labelled series of the place.
        out: File of the model that is written, .safetensors.
        year: Year of the series, where the files do not say it.
        legend: TOML file that names the labels.
        add_classes: Classes of the legend that the model does not know and shall map.
        **options: Fields of `training.tuning.options.TuneOptions`, such as `ways=("bias", "last")`.

    Raises:
        InputError: The labels are too few, lie in one place or have none of the classes.
        MismatchError: The samples were made by another recipe.
    """
    from training.threads import let_threads_sleep

    let_threads_sleep()  # before torch is loaded
    from inference.models.checkpoint import load_checkpoint, save_checkpoint
    from inference.models.shipped import model_path
    from training.tuning.options import TuneOptions
    from training.tuning.tune import tune as tune_model

    asked = TuneOptions(**known_options(TuneOptions, options))
    path = model_path(_model(model))
    _require_new(out, *_paths(samples), legend, path)
    start = load_checkpoint(path)
    known = _samples(samples, year=year, legend=legend, any_classes=True, recipe=start.recipe)
    tuned = tune_model(start, known, asked, name=path.name, add_classes=add_classes)
    save_checkpoint(Path(out), tuned.checkpoint)
    return tuned


def adapt(
    source: Place | Sequence[Place],
    target: Place | Run,
    out: Place,
    *,
    method: str | None = None,
    model: str = "cropnet",
    classes: Sequence[str] | None = None,
    legend: Place | None = None,
    split: Rule = "blocks",
    block_size: float = 0.5,
    unlabelled: int = 20_000,
    **options: Any,
) -> Adapted:
    """A model for a place without labels: trained on samples of other places, adapted to series of this one.

    Args:
        source: Files of labelled series of other places.
        target: Folder of a run with composites of the place.
        out: File of the model that is written, .safetensors.
        method: A name of `training.adaptation.options.METHODS`; None is that of 'cropmap adapt'.
        model: Which network, one that can be adapted.
        classes: Names of the classes; None takes those of the files.
        legend: TOML file that names the labels.
        split: What of the source is held out as a whole, as for `train`.
        block_size: Degrees along a side of a block.
        unlabelled: Pixels that are taken of the run.
        **options: Fields of `training.fit.options.TrainingOptions`, such as `epochs=20`, and of
            `training.adaptation.options.AdaptationOptions`, such as `rounds=4`.

    Raises:
        InputError: There is no such method, the network cannot be adapted, or the samples cannot be split so.
        MismatchError: The composites are of another recipe than the samples.
    """
    from training.threads import let_threads_sleep

    let_threads_sleep()  # before torch is loaded
    from dataclasses import replace

    from inference.models.checkpoint import save_checkpoint
    from training.adaptation.adapt import Target
    from training.adaptation.adapt import adapt as adapt_model
    from training.adaptation.options import AUGMENTATION, DEFAULT_METHOD, AdaptationOptions, method_of
    from training.distillation.unlabelled import series_of_run
    from training.fit.options import SplitRule, TrainingOptions

    method = method or DEFAULT_METHOD
    own = {name: options.pop(name) for name in _names(AdaptationOptions) & set(options)}
    training = TrainingOptions(**{"augmentation": AUGMENTATION, **known_options(TrainingOptions, options)})
    adaptation = replace(method_of(method), **known_options(AdaptationOptions, own))
    _require_new(out, *_paths(source), legend)
    known, folder = _samples(source, classes=classes, legend=legend), _folder(target)
    series = series_of_run(folder, known.recipe, unlabelled, training.seed, option="target")
    adapted = adapt_model(
        known,
        [Target(folder.absolute().name, series)],
        training,
        adaptation,
        SplitRule(split, block_size, seed=training.seed),
        method=method,
        model=model,
    )
    save_checkpoint(Path(out), adapted.checkpoint)
    return adapted


def design(place: Place | Run, *, progress: bool = True, **options: Any) -> Designed:
    """A blind random sample of a finished map, for interpreters.

    Args:
        place: Folder of a run, or a raster of class codes.
        progress: Whether a bar is shown.
        **options: Fields of `assessment.sample.request.DesignRequest`, such as `points=600`.

    Raises:
        InputError: Something cannot be used.
    """
    from assessment.sample.design import design_sample
    from assessment.sample.request import DesignRequest
    from cropmap.talk import counted

    known = known_options(DesignRequest, options)
    with counted("windows of the map", progress) as report:
        return design_sample(DesignRequest(_folder(place), **known), report)


def assess(
    place: Place | Run, answers: Place | Sequence[Place], *, progress: bool = True, **options: Any
) -> Report:
    """Accuracy, and hectares of each class, with 95 % intervals, from answers to the sample of `design`.

    Args:
        place: Folder of a run or of a sample, or a map.
        answers: Table of answers; several are of several interpreters.
        progress: Whether a bar is shown.
        **options: Fields of `assessment.report.report.ReportRequest`, such as `districts=True`, and of
            `assessment.report.sourced.AnswerRequest`, such as `adjudicated="third.csv"`.

    Raises:
        InputError: Something is wrong with the answers, all of it named; nothing was written.
    """
    from assessment.report.report import ReportRequest, make_report
    from assessment.report.sourced import AnswerRequest
    from cropmap.talk import counted

    own = {name: options.pop(name) for name in _names(AnswerRequest) & set(options)}
    known = known_options(ReportRequest, options)
    asked = AnswerRequest(**{**known_options(AnswerRequest, own), "files": tuple(_paths(answers))})
    with counted("windows of the map", progress) as report:
        return make_report(ReportRequest(_folder(place), asked, **known), report)


def fields(
    place: Place | Run, parcels: Place | None = None, *, progress: bool = True, **options: Any
) -> geopandas.GeoDataFrame:
    """The class of each parcel on a map, as a table with geometries; needs `pip install 'cropmap[fields]'`.

    Args:
        place: Folder of a run, or a raster of class codes.
        parcels: File of polygons; None takes the parts of the map itself.
        progress: Whether a bar is shown.
        **options: Fields of `assessment.fields.fields.FieldsRequest`, such as `inner_buffer=10`.

    Raises:
        InputError: Something cannot be used.
    """
    import geopandas

    from assessment.fields.fields import FieldsRequest, make_fields
    from cropmap.talk import counted

    known = known_options(FieldsRequest, options)
    given = None if parcels is None else Path(parcels)
    with counted("parcels", progress) as report:
        found = make_fields(FieldsRequest(_folder(place), given, **known), report)
    return geopandas.read_parquet(found.folder / "fields.parquet")


def publish(
    place: Place | Run | Sequence[Place | Run],
    *,
    to: Place | None = None,
    asset: str | None = None,
    progress: bool = True,
    **options: Any,
) -> Published | MapAsset:
    """Finished maps as a folder that others can use, or one as an image asset of Earth Engine.

    Args:
        place: A run, or the folder of one; several for a folder.
        to: Folder of the publication; maps that are there already stay.
        asset: `projects/PROJECT/assets/NAME`, in place of a folder; needs `bucket="gs://BUCKET/PREFIX"`.
            Never tried on the live Earth Engine yet, on an emulator only.
        progress: Whether a bar or notices are shown.
        **options: What the publisher says (`title`, `agency`, `licence`, `contact`, `note`), and fields of
            `assessment.publication.publish.PublishRequest` or
            `assessment.publication.map_asset.MapAssetRequest`, and those of its settings, such as
            `project="my-project"`.

    Raises:
        InputError: Something cannot be used.
        IncompleteRunError: A map is not whole.
        AccessError: Earth Engine or the bucket cannot be used.
        EarthEngineError: The ingestion failed; the same call continues.
    """
    if (to is None) == (asset is None):
        raise InputError(f"Maps go to a folder or to an asset, got to={to!r} and asset={asset!r}. Give one.")
    from cropmap.run import Run
    from cropmap.talk import counted, listening

    places = [place] if isinstance(place, str | Path | Run) else place
    runs, words = tuple(_folder(one) for one in places), _words(options)
    if to is not None:
        from assessment.publication.publish import PublishRequest, publish_maps

        request = PublishRequest(runs, Path(to), words, **known_options(PublishRequest, options))
        with counted("parts of the map", progress) as report:
            return publish_maps(request, report)
    from assessment.publication.map_asset import MapAssetRequest, publish_asset

    if len(runs) != 1:
        raise InputError(f"An asset is of one map, got {len(runs)} runs. Give one.")
    known = known_options(MapAssetRequest, {"bucket": None, **_with_settings(options)})
    asked = MapAssetRequest(runs[0], str(asset), words=words, **known)
    with listening(progress) as listener:
        return publish_asset(asked, notice=listener.notice)


def _words(options: dict[str, Any]) -> Words:
    """What the publisher says, taken out of the options."""
    from assessment.document.facts import Words

    names = [field.name for field in fields_of(Words) if field.name in options]
    return Words(**{name: options.pop(name) for name in names})


def _request(
    kind: Callable[..., RequestT], aoi: Any, year: int, out: Place | None, options: dict[str, Any]
) -> RequestT:
    """A request of a run, whose area is a file beside its folder."""
    from cropmap.places import area_file

    known = known_options(kind, {**options, "year": year})
    if known.get("to") is not None:
        raise InputError(
            f"Cells are fetched at once here; batch tasks are the command's, got to={known['to']!r}. Omit it "
            "or run 'cropmap predict --on servers --to' or 'cropmap export --to' and open what it collects "
            "with cropmap.open_run."
        )
    folder = None if out is None else Path(out)
    if folder is None and not isinstance(aoi, str | Path):
        folder = Path(f"area-{year}")
    area = area_file(aoi, folder or Path(f"area-{year}"))
    return kind(aoi=area, out=folder, **known)


def _of_season(name: str, recipe: Recipe | None) -> Recipe:
    """A recipe with a season of cropmap's own."""
    from gee_pipeline.recipe import USUAL, RecipeOptions
    from gee_pipeline.season import SEASONS

    if name not in SEASONS:
        raise InputError(
            f"A season is {', '.join(SEASONS)}, got {name!r}. A rule of your own goes into "
            "recipe=Recipe(..., season=SeasonRule(...))."
        )
    return RecipeOptions(season=SEASONS[name]).applied(USUAL if recipe is None else recipe)


def _require_new(out: Place, *read: Place | None) -> None:
    """Before the work: the result can be written, and not over what it is made of."""
    from gee_pipeline.files import require_apart, require_writable

    require_apart(Path(out), [Path(one) for one in read if one is not None])
    require_writable(Path(out))


def _names(kind: Any) -> set[str]:
    return {field.name for field in fields_of(kind)}


def _require_where(on: str) -> None:
    if on not in ("here", "servers"):
        raise InputError(f"Pixels are labelled on='here' or on='servers', got on={on!r}.")


def _served_request(
    aoi: Any, year: int, out: Place | None, options: dict[str, Any]
) -> NetworkRequest | ForestRequest:
    """A request of a map on the servers, by a forest where `model` is the file of one."""
    from inference.workflow.request import ForestRequest, NetworkRequest

    model = options["model"]
    if isinstance(model, Path) and _is_forest(model):
        rest = {name: value for name, value in options.items() if name != "model"}
        return _request(ForestRequest, aoi, year, out, {**rest, "forest": model})
    return _request(NetworkRequest, aoi, year, out, options)


def _is_forest(model: Path) -> bool:
    from inference.models.model_file import FOREST, model_kind

    return model_kind(model) is FOREST


def _with_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Options whose project, key and endpoint are gathered as the `settings` that a request has of them."""
    from gee_pipeline.earthengine.client.settings import EarthEngineSettings

    names = {"project", "service_account", "endpoint"} & set(options)
    if not names or "settings" in options:
        return options
    given = known_options(EarthEngineSettings, {name: options[name] for name in names})
    rest = {name: value for name, value in options.items() if name not in names}
    return {**rest, "settings": EarthEngineSettings(**given)}


def _samples(files: Place | Sequence[Place], *, legend: Place | None, **reading: Any) -> Any:
    from training.samples.class_legend import read_legend
    from training.samples.samples import read_samples

    classes = reading.pop("classes", None)
    named = None if legend is None else read_legend(Path(legend))
    return read_samples(_paths(files), classes, legend=named, **reading)


def _paths(files: Place | Sequence[Place]) -> list[Path]:
    return [Path(files)] if isinstance(files, str | Path) else [Path(file) for file in files]


def _folder(place: Place | Run) -> Path:
    return Path(place) if isinstance(place, str | Path) else place.folder


def _model(model: Place | None) -> Path | str | None:
    """A model as requests take it: a name that ships stays a name."""
    from inference.models.shipped import SHIPPED

    return model if model is None or isinstance(model, Path) or model in SHIPPED else Path(model)
