"""A benchmark of patches from the files to its tables; what is finished is kept."""

from __future__ import annotations

import hashlib
import importlib.metadata
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import tomli_w
import torch
from torch import nn

from gee_pipeline.errors import (
    CropmapError,
    DiskFullError,
    IncompleteRunError,
    InputError,
    MismatchError,
    PlaceError,
)
from gee_pipeline.files import require_writable, size_text, write_bytes
from inference.models.networks.image_networks import timm_library
from inference.models.predictor import resolve_device
from training.fit.loop import random_state_apart
from training.fit.resume_state import training_lock
from training.foundation.encoder import EncoderFile, check_file, load_encoder, state_digest, widths
from training.foundation.feature_cache import FeatureCache
from training.foundation.known_weights import KNOWN
from training.foundation.patch_folders import Listed, find_datasets
from training.foundation.patch_protocol import (
    FROZEN,
    WEIGHTS_FACT,
    PatchJob,
    PatchProtocol,
    PatchRecord,
    patch_jobs,
    read_patch_record,
)
from training.foundation.patch_tables import PatchRow, rows_of, rows_on_map, write_results, write_tables
from training.foundation.patch_training import (
    CachedInputs,
    ImageInputs,
    Inputs,
    Member,
    PatchEpoch,
    PatchNetwork,
    confusions_of,
    fit_patches,
    split_members,
)
from training.foundation.season_map import MapOnPatches, crop_map_of, map_on_patches
from training.foundation.segmentation import new_decoder

RUNS: Final = "runs"
"""Folder of the records within that of a benchmark."""

FEATURES: Final = "features"
"""Folder there that keeps what frozen encoders make, where no other is named."""


@dataclass(frozen=True)
class PatchStanding:
    """Where a benchmark stands."""

    done: int
    """Trainings that are finished."""
    failed: int
    """Trainings that failed in this start."""
    total: int
    """Trainings of the benchmark."""
    what: str
    """What is worked on: the name of a training, or what comes before; empty at the end."""
    steps: tuple[int, int] = (0, 0)
    """Done and all of it: epochs where there is a last one, else images that are read."""
    epoch: PatchEpoch | None = None
    """The last epoch."""


@dataclass(frozen=True)
class PatchSummary:
    """What a benchmark gave."""

    folder: Path
    """Where everything stands."""
    rows: tuple[PatchRow, ...]
    """One for each method and data set."""
    on_maps: tuple[PatchRow, ...]
    """On the patches that a map of the season covers: its rows, and those of all methods there."""
    left_out: Mapping[str, tuple[str, ...]]
    """Data set -> test images that its map does not cover."""
    trained: int
    """Trainings of this start."""
    kept: int
    """Trainings of former starts."""
    failures: Mapping[str, str]
    """Name of a training -> why it failed."""

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON values; scores 0 to 1, published ones in percent."""
        return {
            "folder": str(self.folder),
            "trained": self.trained,
            "kept": self.kept,
            "failures": dict(self.failures),
            "rows": [row.to_dict() for row in self.rows],
            "on_maps": [row.to_dict() for row in self.on_maps],
            "left_out": {name: list(names) for name, names in self.left_out.items()},
        }

    def require_complete(self) -> None:
        """Raise where a training failed.

        Raises:
            IncompleteRunError: Naming each failed training.
        """
        if self.failures:
            lines = "; ".join(f"{name}: {reason}" for name, reason in self.failures.items())
            raise IncompleteRunError(
                f"{len(self.failures)} of {len(self.failures) + self.trained + self.kept} trainings failed; "
                f"the same command tries them again, and keeps the others. {lines}"
            )


def run_patches(
    protocol: PatchProtocol,
    out: Path,
    *,
    maps: Mapping[str, Path] | None = None,
    cache: Path | None = None,
    restart: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
    listen: Callable[[PatchStanding], None] = lambda standing: None,
) -> PatchSummary:
    """Train and test what is not finished yet, and write tables and a picture of all.

    Args:
        protocol: What to do.
        out: Folder of the benchmark: `runs/` with one file per training, `results.csv`, `table.csv`,
            `table.md`, `accuracy.png` and `run.toml`.
        maps: Data set -> folder of a run, or raster of a map of the season, that is scored on its patches.
        cache: Folder for what frozen encoders make of images; None is `features` in `out`.
        restart: Forget what is finished, but not the cache.
        say: Told what a user should know once: licences, the size of the cache, each finished training.
        listen: Told when something advances.

    Raises:
        InputError: Something given cannot be used; nothing was trained.
        MismatchError: A file of weights is not the one that is expected, or the folder holds a benchmark of
            something else.
        DiskFullError: The disk has no room for the cache.
    """
    require_writable(out / "run.toml")
    timm_library()  # its absence is said before hours of reading
    with training_lock(out / "running"):
        work = _Work(protocol, out, maps or {}, cache or out / FEATURES, say, listen)
        work.prepare(restart=restart)
        write_bytes(out / "run.toml", run_toml(protocol, out, maps or {}, cache).encode())
        for job in work.jobs:
            if job not in work.finished:
                work.do(job)
        work.tell("")
        return work.write()


class _Work:
    """The trainings that are to be done, and what there is to report about them."""

    def __init__(
        self,
        protocol: PatchProtocol,
        out: Path,
        maps: Mapping[str, Path],
        cache: Path,
        say: Callable[[str], None],
        listen: Callable[[PatchStanding], None],
    ) -> None:
        self.protocol, self.out, self.cache, self.say, self.listen = protocol, out, cache, say, listen
        self.device = resolve_device(protocol.device)
        self.files = _files(protocol)
        self.datasets = find_datasets(protocol.data, protocol.datasets, scale=protocol.scale)
        self.targets = _targets(protocol, self.datasets, maps)
        self.jobs = list(patch_jobs(protocol, self.targets))
        self.members = {job: self._members(job) for job in self.jobs}
        self.map_places = {name: crop_map_of(place) for name, place in maps.items()}
        self.maps: dict[str, MapOnPatches] = {}
        self.digests: dict[Member, str] = {}
        self.side = 0
        self.finished: dict[PatchJob, PatchRecord] = {}
        self.failures: dict[str, str] = {}
        self.kept = self.trained = 0

    def prepare(self, *, restart: bool) -> None:
        """Look at everything that is given before anything is trained."""
        for line in self.sources:
            self.say(line)
        self._read_patches()
        self.maps = {
            name: map_on_patches(place, self.datasets[name]) for name, place in self.map_places.items()
        }
        if restart:
            for path in (self.out / RUNS).glob("*.json"):
                path.unlink()
        for job in self.jobs:
            if record := read_patch_record(self.out / RUNS, job, self.facts_of(job)):
                self.finished[job] = record
        self.kept = len(self.finished)
        self._require_room()

    @cached_property
    def sources(self) -> list[str]:
        """Where each of the weights comes from, and under which licence, one sentence each."""
        return [_source_text(name, file) for name, file in self.files.items()]

    def _members(self, job: PatchJob) -> list[Member]:
        """The images that a training sees, with those that it holds out."""
        local = [(job.target, name) for name in self.datasets[job.target].local(job.images)]
        if job.setting == "id":
            return local
        others = [(name, listed) for name, listed in self.datasets.items() if name != job.target]
        size = self.protocol.other_images
        return [
            (name, file)
            for name, listed in others
            for file in (listed.all_training if size is None else listed.local(size))
        ] + local

    def _tests(self, target: str) -> list[Member]:
        return [(target, name) for name in self.datasets[target].test]

    def _read_patches(self) -> None:
        """Read every image and its labels once: that they can be used, and their digests."""
        wanted = dict.fromkeys(member for members in self.members.values() for member in members)
        wanted |= dict.fromkeys(member for target in self.targets for member in self._tests(target))
        sides, labelled = {}, set[Member]()
        for count, (name, file) in enumerate(wanted, 1):
            patch = self.datasets[name].data.read(file)
            self.digests[name, file] = patch.digest
            sides[patch.labels.shape] = (name, file)
            labelled |= {(name, file)} if patch.labels.any() else set()
            self.tell("reading images", (count, len(wanted)))
        if len(sides) > 1 or any(height != width for height, width in sides):
            shown = "; ".join(f"{file} of {name}: {h} x {w}" for (h, w), (name, file) in sides.items())
            raise InputError(f"All patches are squares of one size, as 256 x 256; got {shown}.")
        ((self.side, _),) = sides
        for target in self.targets:
            if not labelled.intersection(self._tests(target)):
                raise InputError(
                    f"No pixel of the test images of {target} is labelled. See its labels and lists."
                )

    def facts_of(self, job: PatchJob) -> dict[str, Any]:
        """What decides the result of a training, as JSON values by name."""
        protocol, file = self.protocol, self.files[job.weights]
        return {
            "training images": self._digest_of(self.members[job]),
            "test images": self._digest_of(self._tests(job.target)),
            WEIGHTS_FACT: file.digest if file else "drawn by the seed",
            "encoder": protocol.encoder,
            "decoder": protocol.decoder,
            "views": protocol.views if job.training == FROZEN else 0,
            **asdict(protocol.options),
            "device": self.device.type,
            "cropmap": importlib.metadata.version("cropmap"),
            "torch": torch.__version__,
            "timm": importlib.metadata.version("timm"),
        }

    def _digest_of(self, members: Sequence[Member]) -> str:
        text = " ".join(sorted(f"{name}/{file}:{self.digests[name, file]}" for name, file in members))
        return f"{len(members):,} with digest {hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def _require_room(self) -> None:
        """Say what the cache will take, and refuse a disk without room."""
        if not self.protocol.views:
            return
        wanted: dict[tuple[str, int], dict[tuple[str, int], None]] = {}
        for job in self.jobs:
            if job.training == FROZEN and job not in self.finished:
                seed = job.seed if self.files[job.weights] is None else 0
                views = dict.fromkeys((self.digests[m], view) for m, view in self._views(job))
                wanted.setdefault((job.weights, seed), {}).update(views)
        needed = 0
        for (weights, seed), views in wanted.items():
            encoder = self._encoder(weights, seed)
            needed += self._cache_of(weights, encoder).require_room(views, widths(encoder), self.side, needed)
        if needed:
            self.say(
                f"What frozen encoders make of the images is kept in {self.cache}: {size_text(needed)} more."
            )

    def _views(self, job: PatchJob) -> Iterator[tuple[Member, int]]:
        """The views that a training with a frozen encoder asks for."""
        training, held_out = split_members(self.members[job], self.protocol.options.held_out, job.seed)
        yield from ((member, view) for member in training for view in range(self.protocol.views))
        yield from ((member, 0) for member in [*held_out, *self._tests(job.target)])

    def _encoder(self, weights: str, seed: int) -> nn.Module:
        encoder = load_encoder(self.protocol.encoder, KNOWN[weights], self.files[weights], seed)
        return encoder.to(self.device).eval()

    def _cache_of(self, weights: str, encoder: nn.Module) -> FeatureCache:
        return FeatureCache(self.cache, encoder, KNOWN[weights], state_digest(encoder), self.device)

    def do(self, job: PatchJob) -> None:
        """One training; what it gave is written before the next begins."""
        self.tell(job.name)
        with self._failures(job), random_state_apart(self.device):
            start = time.monotonic()
            record = self._trained(job, start)
            record.save(self.out / RUNS)
            self.finished[job] = record
            self.trained += 1
            at = f"{len(self.finished) + len(self.failures)} of {len(self.jobs)}"
            right = rows_of([record], self.protocol)[0].scores.accuracy.value
            self.say(f"{at}: {job.name}, OA {right:.1%}, {record.seconds:.0f} s")
        self.write()

    def _trained(self, job: PatchJob, start: float) -> PatchRecord:
        options, test = self.protocol.options, self._tests(job.target)
        training, held_out = split_members(self.members[job], options.held_out, job.seed)
        torch.manual_seed(job.seed)
        encoder = self._encoder(job.weights, job.seed)
        decoder = new_decoder(self.protocol.decoder, widths(encoder))
        network = PatchNetwork(encoder, decoder, frozen=job.training == FROZEN).to(self.device)
        inputs = self._inputs(job, encoder)
        fit = fit_patches(
            network,
            inputs,
            training,
            held_out,
            options,
            seed=job.seed,
            progress=lambda epoch: self.tell(job.name, (epoch.number, options.epochs), epoch),
        )
        counts = confusions_of(network, inputs, test, options.batch_size)
        return PatchRecord(
            job=job,
            facts=self.facts_of(job),
            test=tuple(name for _, name in test),
            confusion=tuple(tuple(tuple(row) for row in image) for image in counts.tolist()),
            training_images=len(training),
            held_out_images=len(held_out),
            best_epoch=fit.best_epoch,
            losses=tuple((epoch.loss, epoch.held_out_loss) for epoch in fit.history),
            seconds=time.monotonic() - start,
        )

    def _inputs(self, job: PatchJob, encoder: nn.Module) -> Inputs:
        data = {name: listed.data for name, listed in self.datasets.items()}
        if job.training != FROZEN or not self.protocol.views:
            return ImageInputs(data, KNOWN[job.weights], self.device)
        cache = self._cache_of(job.weights, encoder)
        views: dict[Member, list[int]] = {}
        for member, view in self._views(job):
            views.setdefault(member, []).append(view)
        for count, (member, numbers) in enumerate(views.items(), 1):
            digest = self.digests[member]
            if not all(cache.path(digest, view).is_file() for view in numbers):
                patch = data[member[0]].read(member[1])
                for view in numbers:
                    cache.keep(digest, view, patch)
            self.tell(job.name, (count, len(views)))
        return CachedInputs(cache, self.digests, self.protocol.views, self.device)

    def write(self) -> PatchSummary:
        """The tables of what is finished."""
        records = [self.finished[job] for job in self.jobs if job in self.finished]
        rows = rows_of(records, self.protocol)
        on_maps = {
            name: rows_on_map(records, self.protocol, name, found) for name, found in self.maps.items()
        }
        if rows:
            write_results(self.out / "results.csv", records)
            write_tables(self.out, rows, on_maps, self.maps, self.protocol, self.sources)
        return PatchSummary(
            self.out,
            tuple(rows),
            tuple(row for chosen in on_maps.values() for row in chosen),
            {name: found.left_out for name, found in self.maps.items()},
            *(self.trained, self.kept, self.failures),
        )

    @contextmanager
    def _failures(self, job: PatchJob) -> Iterator[None]:
        """Keep why a training failed: it diverged, no memory. What hits all is raised."""
        try:
            yield
        except (DiskFullError, PlaceError, MismatchError):
            raise
        except (CropmapError, RuntimeError, ValueError, MemoryError) as error:  # torch's own too
            self.failures[job.name] = str(error) or type(error).__name__
            self.say(f"{job.name} failed: {self.failures[job.name]}")

    def tell(self, what: str, steps: tuple[int, int] = (0, 0), epoch: PatchEpoch | None = None) -> None:
        """Say where the benchmark stands."""
        standing = (len(self.finished), len(self.failures), len(self.jobs))
        self.listen(PatchStanding(*standing, what, steps, epoch))


def _files(protocol: PatchProtocol) -> dict[str, EncoderFile | None]:
    """The files of weights, checked."""
    return {
        name: None if path is None else check_file(path, KNOWN[name], protocol.sha256.get(name, ""))
        for name, path in protocol.weights.items()
    }


def _targets(
    protocol: PatchProtocol, datasets: Mapping[str, Listed], maps: Mapping[str, Path]
) -> tuple[str, ...]:
    targets = protocol.targets or tuple(datasets)
    if unknown := [name for name in targets if name not in datasets]:
        raise InputError(f"The data sets are {', '.join(datasets)}; got --targets {', '.join(unknown)}.")
    if "ood" in protocol.settings and len(datasets) < 2:
        raise InputError(
            f"--settings ood trains on the other data sets, and {', '.join(datasets)} is the only one. Add "
            "others, or give --settings id."
        )
    if strange := [name for name in maps if name not in targets]:
        raise InputError(f"A --map is of a data set that is tested, {', '.join(targets)}; got {strange[0]}.")
    return targets


def _source_text(name: str, file: EncoderFile | None) -> str:
    known = KNOWN[name]
    if file is None:
        return f"{name}: {known.title}, drawn by the seed."
    note = f" {known.note}" if known.note else ""
    said = f"{file.path.name}, SHA-256 {file.digest} ({file.checked})"
    if not file.published:
        return (
            f"{name}: {said}. This is not the published file of {known.title}, whose SHA-256 begins with "
            f"{known.digest}: where it comes from and under which licence is yours to know.{note}"
        )
    return f"{name}: {known.title}; licence: {known.licence}. {said}, published at {known.address}.{note}"


def run_toml(protocol: PatchProtocol, out: Path, maps: Mapping[str, Path], cache: Path | None) -> str:
    """The options that repeat a benchmark, as a TOML text.

    Args:
        protocol: What it does.
        out: Its folder.
        maps: Maps of the season, by data set.
        cache: Folder of the cache; None is the usual one.
    """
    weights = [
        name if path is None else f"{name}={path.absolute()}" for name, path in protocol.weights.items()
    ]
    plain = {
        "data": str(protocol.data.absolute()),
        "targets": list(protocol.targets),
        "datasets": list(protocol.datasets),
        "weights": weights,
        "sha256": [f"{name}={digest}" for name, digest in protocol.sha256.items()],
        "encoder": protocol.encoder,
        "decoder": protocol.decoder,
        "training": list(protocol.trainings),
        "settings": list(protocol.settings),
        "images": list(protocol.images),
        "other-images": protocol.other_images,
        "seeds": protocol.seeds,
        **{name.replace("_", "-"): value for name, value in asdict(protocol.options).items()},
        "views": protocol.views,
        "scale": protocol.scale,
        "map": [f"{name}={place.absolute()}" for name, place in maps.items()],
        "device": protocol.device,
        "cache": None if cache is None else str(cache.absolute()),
        "out": str(out.absolute()),
    }
    given = {name: value for name, value in plain.items() if value not in (None, [])}
    head = (
        f"# cropmap {importlib.metadata.version('cropmap')}: cropmap benchmark foundation --config run.toml"
    )
    return f"{head}\n{tomli_w.dumps(given)}"
