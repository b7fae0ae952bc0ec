"""How a network is fitted to samples: options that training and the benchmark share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cli.options.shared import apply
from training.distillation.options import DistillOptions
from training.fit.options import PRECISIONS, SCALINGS, SCHEDULES, Precision, TrainingOptions
from training.transfer.protocol import Protocol
from training.tuning.options import TuneOptions


def fitting_options(defaults: type[TrainingOptions] | type[Protocol]) -> Callable[[Any], Any]:
    """The options of the optimiser and of the machine, with the defaults of a command."""
    return apply(
        click.option(
            "--epochs",
            type=int,
            default=defaults.epochs,
            show_default=True,
            help="Passes over the training samples at most; the weights of the epoch that is best on the "
            "held-out samples count. The paper: 50.",
        ),
        click.option(
            "--batch-size",
            type=int,
            metavar="SAMPLES",
            default=defaults.batch_size,
            show_default=True,
            help="Samples of one step. The paper: 256.",
        ),
        click.option(
            "--learning-rate",
            type=float,
            default=defaults.learning_rate,
            show_default=True,
            help="Adam's learning rate at the start. The paper: 0.0001.",
        ),
        click.option(
            "--schedule",
            type=click.Choice(SCHEDULES),
            default=defaults.schedule,
            show_default=True,
            help="Let the learning rate fall to 0 along a cosine, or keep it. The paper keeps it.",
        ),
        click.option(
            "--normalisation",
            type=click.Choice(SCALINGS),
            default=defaults.normalisation,
            show_default=True,
            help="Scaling of a network's input. band: each band by its mean and standard deviation. one: all "
            "bands of a sensor by one. none: values as they are stored, as in the paper's code.",
        ),
        machine_options(defaults),
    )


def machine_options(
    defaults: type[TrainingOptions] | type[Protocol] | type[DistillOptions] | type[TuneOptions],
) -> Callable[[Any], Any]:
    """Where a training runs, and in which precision, with the defaults of a command."""
    return apply(
        click.option(
            "--device",
            default=defaults.device,
            show_default=True,
            help="auto, cpu, cuda or cuda:N; auto takes CUDA where there is one.",
        ),
        click.option(
            "--precision",
            type=click.Choice(PRECISIONS),
            default=defaults.precision,
            show_default=True,
            help="mixed: batches in 16 bits where it is safe, float16 on CUDA, bfloat16 on a CPU. float32: "
            "not. auto: mixed on CUDA only. A CPU with bfloat16 in hardware (AVX512-BF16, AMX) trains faster "
            "mixed, others many times as slowly: then the command warns.",
        ),
    )


def resume_option(what: str) -> Callable[[Any], Any]:
    """Whether unfinished work on a model goes on.

    Args:
        what: The work: `training`.
    """
    return click.option(
        "--resume/--restart",
        default=True,
        show_default=True,
        help=f"Continue the unfinished {what} of this --out, kept in MODEL.progress, or begin again.",
    )


def warn_of_precision(precision: Precision, device: str) -> None:
    """Say on stderr where 16 bits were asked for and cost time."""
    from inference.models.predictor import resolve_device
    from training.fit.precision import precision_warning

    if warning := precision_warning(precision, resolve_device(device)):
        click.echo(f"Warning: {warning}", err=True)
