"""The tables and the picture of a benchmark of patches, with the published numbers beside."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gee_pipeline.files import write_bytes
from inference.drawing.style import (
    FAINT,
    FIRST,
    INK,
    SECOND,
    SMALL,
    THIRD,
    TITLE,
    new_figure,
    plain_axes,
    save_figure,
)
from training.foundation.crop_classes import CLASSES, DATASETS
from training.foundation.encoder import is_published
from training.foundation.known_weights import KNOWN
from training.foundation.patch_protocol import FROZEN, WEIGHTS_FACT, PatchProtocol, PatchRecord
from training.foundation.patch_scores import DRAWS, PatchScores, score_patches
from training.foundation.published import (
    FIRST as FIRST_VERSION,
)
from training.foundation.published import (
    LATER,
    OF_WEIGHTS,
    SOURCE,
    TEST_IMAGES,
    VERSIONS,
    published_accuracies,
)
from training.foundation.season_map import MapOnPatches

MAP: Final = "map"
"""Stands as weights and setting of the row of a map of the season."""


@dataclass(frozen=True)
class PatchRow:
    """The scores of one method on one data set."""

    target: str
    """Data set whose test images are scored."""
    weights: str
    """Name in `KNOWN`, or `map`."""
    training: str
    """`frozen` or `tuned`; empty of a map."""
    setting: str
    """`ood` or `id`; `map` of a map."""
    images: int
    """Local images that train."""
    trainings: int
    """Trainings, of which the scores are means; 0 of a map."""
    test_images: int
    """Images that are scored."""
    scores: PatchScores
    """The scores."""
    published: float | None
    """Overall accuracy in the first version of the paper, percent."""
    later: float | None
    """In a later script of its authors, percent."""

    @property
    def trained_on(self) -> str:
        """What trained, for people."""
        if self.setting == MAP:
            return "a map of the season"
        local = f"{self.images} local"
        return local if self.setting == "id" else "the others" + (f" + {local}" if self.images else "")

    @property
    def method(self) -> str:
        """Weights and what was fitted, for people."""
        return "" if self.weights == MAP else f"{self.weights}, {self.training}"

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON values; scores 0 to 1, published ones in percent."""
        return asdict(self)


def rows_of(records: Sequence[PatchRecord], protocol: PatchProtocol) -> list[PatchRow]:
    """A row for each method, in the order of the records.

    Args:
        records: Of finished trainings.
        protocol: What was done.
    """
    return [
        _row(together, protocol, np.stack([record.counts for record in together]))
        for together in _together(records)
    ]


def rows_on_map(
    records: Sequence[PatchRecord], protocol: PatchProtocol, target: str, found: MapOnPatches
) -> list[PatchRow]:
    """The row of a map, and those of all methods on the same patches.

    Args:
        records: Of finished trainings.
        protocol: What was done.
        target: Data set of the map.
        found: What the map says.
    """
    scores = score_patches(found.counts[None])
    rows = [PatchRow(target, MAP, "", MAP, 0, 0, len(found.covered), scores, None, None)]
    for together in _together([record for record in records if record.job.target == target]):
        where = [together[0].test.index(name) for name in found.covered]
        counts = np.stack([record.counts[where] for record in together])
        rows.append(_row(together, protocol, counts, published=False))
    return rows


def _together(records: Sequence[PatchRecord]) -> list[list[PatchRecord]]:
    groups: dict[Any, list[PatchRecord]] = {}
    for record in records:
        groups.setdefault(record.job.method, []).append(record)
    return list(groups.values())


def _row(
    together: Sequence[PatchRecord], protocol: PatchProtocol, counts: Any, *, published: bool = True
) -> PatchRow:
    job = together[0].job
    alike = published and counts.shape[1] == TEST_IMAGES and _as_published(protocol, together[0])
    known = published_accuracies() if alike else {}
    first, later = (
        known.get((version, job.target, job.setting, job.images)) for version in (FIRST_VERSION, LATER)
    )
    return PatchRow(
        *(job.target, job.weights, job.training, job.setting, job.images),
        *(len(together), counts.shape[1], score_patches(counts), first, later),
    )


def _as_published(protocol: PatchProtocol, record: PatchRecord) -> bool:
    """Whether the published numbers are of such a method, with these weights."""
    job, digest = record.job, str(record.facts[WEIGHTS_FACT])
    method = (job.weights, job.training, protocol.encoder, protocol.decoder)
    return method == (OF_WEIGHTS, FROZEN, "resnet50", "unet") and is_published(KNOWN[job.weights], digest)


def write_tables(
    out: Path,
    rows: Sequence[PatchRow],
    on_maps: Mapping[str, Sequence[PatchRow]],
    maps: Mapping[str, MapOnPatches],
    protocol: PatchProtocol,
    sources: Sequence[str],
) -> None:
    """Write `table.csv` and `table.md`, and draw `accuracy.png`.

    Args:
        out: Folder of the benchmark.
        rows: Of all methods.
        on_maps: Rows on the patches of a map, by data set.
        maps: What the maps say, by data set.
        protocol: What was done.
        sources: Where the weights come from, one sentence each.
    """
    flat = [_flat(row, "all") for row in rows]
    flat += [_flat(row, "map") for chosen in on_maps.values() for row in chosen]
    _write_csv(out / "table.csv", flat)
    text = "\n\n".join(_report(rows, on_maps, maps, protocol, sources))
    write_bytes(out / "table.md", f"{text}\n".encode())
    if rows:
        save_figure(compose_accuracies(rows), out / "accuracy.png", "Overall accuracy by local images")


def write_results(path: Path, records: Sequence[PatchRecord]) -> None:
    """Write a CSV with one row for each training.

    Args:
        path: Where to write it.
        records: Of finished trainings.
    """
    _write_csv(path, [_of_training(record) for record in records])


def _of_training(record: PatchRecord) -> dict[str, Any]:
    scores = score_patches(record.counts[None])
    return {
        **record.job.to_dict(),
        "accuracy": f"{scores.accuracy.value:.6f}",
        "average_accuracy": f"{scores.average.value:.6f}",
        "f1": f"{scores.f1:.6f}",
        "jaccard": f"{scores.jaccard:.6f}",
        **{f"found_{name}": _share(one) for name, one in zip(CLASSES, scores.found, strict=True)},
        "training_images": record.training_images,
        "held_out_images": record.held_out_images,
        "best_epoch": record.best_epoch,
        "epochs": len(record.losses),
        "seconds": f"{record.seconds:.1f}",
    }


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _flat(row: PatchRow, patches: str) -> dict[str, Any]:
    scores = row.scores
    return {
        "target": row.target,
        "test_patches": patches,
        "test_images": row.test_images,
        "setting": row.setting,
        "images": row.images,
        "weights": row.weights,
        "training": row.training,
        "trainings": row.trainings,
        "accuracy": f"{100 * scores.accuracy.value:.2f}",
        "accuracy_low": f"{100 * scores.accuracy.low:.2f}",
        "accuracy_high": f"{100 * scores.accuracy.high:.2f}",
        "average_accuracy": f"{100 * scores.average.value:.2f}",
        "average_accuracy_low": f"{100 * scores.average.low:.2f}",
        "average_accuracy_high": f"{100 * scores.average.high:.2f}",
        "f1": f"{100 * scores.f1:.2f}",
        "jaccard": f"{100 * scores.jaccard:.2f}",
        "published_first_version": "" if row.published is None else f"{row.published:.2f}",
        "published_later_script": "" if row.later is None else f"{row.later:.2f}",
    }


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def _report(
    rows: Sequence[PatchRow],
    on_maps: Mapping[str, Sequence[PatchRow]],
    maps: Mapping[str, MapOnPatches],
    protocol: PatchProtocol,
    sources: Sequence[str],
) -> Iterator[str]:
    yield "# Pretrained encoders on patches of one date"
    yield _how(protocol)
    for target in dict.fromkeys(row.target for row in rows):
        chosen = [row for row in rows if row.target == target]
        yield f"## {target}: {DATASETS[target].title if target in DATASETS else 'patches of your own'}"
        yield _classes(target, chosen[0])
        yield _markdown(chosen)
        if target in on_maps:
            yield from _beside_map(target, on_maps[target], maps[target])
    if any(row.published is not None for row in rows):
        yield (
            f"Published: {SOURCE}, {VERSIONS[FIRST_VERSION]}. Later: {VERSIONS[LATER]}. Both are of the "
            "authors' own lists of images; whether these are the same is not looked at."
        )
    yield "## Weights"
    yield "\n".join(f"- {line}" for line in sources)


def _how(protocol: PatchProtocol) -> str:
    options = protocol.options
    still = f"{options.patience} epoch{'' if options.patience == 1 else 's'}"
    sentences = [
        f"Encoder {protocol.encoder}, decoder {protocol.decoder}; {options.epochs} epochs, batches of "
        f"{options.batch_size}, Adam with a learning rate of {options.learning_rate:g} that is halved after "
        f"{still} without a lower held-out loss; {options.held_out:.0%} of the training images are held out "
        "and choose the epoch.",
        *_how_seen(protocol),
        "A frozen encoder keeps its running means too.",
        "Overall accuracy (OA) and average accuracy (AA, the mean over the classes with labels) have "
        f"intervals of 95 % by a bootstrap over the test images ({DRAWS:,} draws). Figures are means over "
        "the trainings, and the intervals are not about those. Pixels without a label neither train nor are "
        "scored.",
    ]
    return " ".join(sentences)


def _how_seen(protocol: PatchProtocol) -> Iterator[str]:
    """How training images are changed."""
    cached = FROZEN in protocol.trainings and protocol.views > 0
    if cached:
        yield (
            f"A frozen encoder sees {protocol.views} views of each training image: the image as it is, and "
            "crops and flips of it that are drawn once."
            if protocol.views > 1
            else "A frozen encoder sees training images as they are, without crops and flips."
        )
    if not cached or protocol.trainings != (FROZEN,):
        who = "With a tuned encoder each" if cached else "Each"
        yield f"{who} training image is cropped to 60 to 100 % and flipped anew in each epoch."


def _classes(target: str, row: PatchRow) -> str:
    there = [f"{name} {pixels:,}" for name, pixels in zip(CLASSES, row.scores.pixels, strict=True) if pixels]
    oddity = f" {DATASETS[target].oddity}" if target in DATASETS else ""
    return f"{row.test_images} test images; labelled pixels: {', '.join(there)}.{oddity}"


def _beside_map(target: str, rows: Sequence[PatchRow], found: MapOnPatches) -> Iterator[str]:
    yield f"### {target}: the same patches on a map of the season"
    tested = len(found.covered) + len(found.left_out)
    left = f" Left out: {', '.join(found.left_out[:10])}." if found.left_out else ""
    more = f" And {len(found.left_out) - 10} more." if len(found.left_out) > 10 else ""
    legend = "; ".join(f"{name} as {ours}" for name, ours in found.legend.items())
    yield (
        f"{found.path.name} covers {len(found.covered)} of {tested} test images whole; all rows are scored "
        f"on these.{left}{more} Its classes count as: {legend}. Maps of cropmap are made from a season, "
        "those of the networks here from one date."
    )
    yield _markdown(rows)
    if found.notices:
        yield " ".join(found.notices)


def _markdown(rows: Sequence[PatchRow]) -> str:
    published = any(row.published is not None for row in rows)
    heads = ["Trained on", "Encoder", "Trainings", "OA (%)", "AA (%)", "F1 (%)", "Jaccard (%)"]
    rules = ["---", "---", *["--:"] * 5]
    if published:
        heads, rules = [*heads, "OA published", "later"], [*rules, "--:", "--:"]
    lines = [heads, rules]
    for row in rows:
        scores = row.scores
        line = [row.trained_on, row.method, str(row.trainings or "")]
        line += [interval_text(scores.accuracy), interval_text(scores.average)]
        line += [f"{100 * scores.f1:.1f}", f"{100 * scores.jaccard:.1f}"]
        if published:
            line += ["" if value is None else f"{value:.2f}" for value in (row.published, row.later)]
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def interval_text(interval: Any) -> str:
    """A share with its interval in percent: `71.3 (68.0 to 74.1)`."""
    return f"{100 * interval.value:.1f} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def compose_accuracies(rows: Sequence[PatchRow]) -> Figure:
    """Overall accuracy by local images: a panel for each data set, a line for each method and setting."""
    targets = list(dict.fromkeys(row.target for row in rows))
    lines = list(dict.fromkeys((row.method, row.setting) for row in rows))
    figure = new_figure(max(4.5, 3.2 * len(targets)), 4.0, layout="constrained")
    figure.suptitle("Overall accuracy by local images", x=0.01, ha="left", color=INK, fontsize=TITLE)
    panels = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
    for axes, target in zip(panels, targets, strict=True):
        _draw_panel(axes, target, [row for row in rows if row.target == target], lines)
    panels[0].set_ylabel("OA (%), 95 % by images", fontsize=SMALL)
    named = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(named.values()), list(named), loc="outside lower left", ncols=3, frameon=False, fontsize=SMALL
    )
    return figure


_COLORS: Final = (FIRST, SECOND, THIRD, INK)
_MARKERS: Final = ("o", "s", "^", "D", "v", "P")


def _draw_panel(axes: Axes, target: str, rows: Sequence[PatchRow], lines: Sequence[tuple[str, str]]) -> None:
    plain_axes(axes)
    axes.set_title(target, loc="left", fontsize=SMALL)
    sizes = sorted({row.images for row in rows})
    methods = list(dict.fromkeys(method for method, _ in lines))
    for at, (method, setting) in enumerate(lines):
        chosen = [row for row in rows if (row.method, row.setting) == (method, setting)]
        number = methods.index(method)
        scores = [row.scores.accuracy for row in chosen]
        axes.errorbar(
            [sizes.index(row.images) + 0.06 * (at - (len(lines) - 1) / 2) for row in chosen],
            [100 * score.value for score in scores],
            yerr=np.array(
                [
                    [100 * max(score.value - score.low, 0) for score in scores],
                    [100 * max(score.high - score.value, 0) for score in scores],
                ]
            ),
            color=_COLORS[number % len(_COLORS)],
            marker=_MARKERS[number % len(_MARKERS)],
            linestyle="-" if setting == "ood" else "--",
            markersize=4,
            markerfacecolor=None if setting == "ood" else "white",
            linewidth=1,
            label=f"{method}, {'others + local' if setting == 'ood' else 'local alone'}",
        )
    theirs = [row for row in rows if row.published is not None]
    if theirs:
        axes.plot(
            [sizes.index(row.images) for row in theirs],
            [row.published or 0.0 for row in theirs],
            linestyle="",
            marker="_",
            color=FAINT,
            label="published (first version)",
        )
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axes.set_xlabel("local images", fontsize=SMALL)
