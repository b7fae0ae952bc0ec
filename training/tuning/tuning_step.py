"""What a step of tuning costs: the labels of the new place, and what the model said of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.fit.batches import BatchMaker
from training.fit.training_step import Batch, Forward


class TuningStep:
    """Cross-entropy of the labels; with rehearsal also the divergence from the old answers.

    The old answers to series of the source hold the network where nobody labelled anything (Li and Hoiem
    2016, "Learning without forgetting", whose series are the new ones). A class that was added has no part in
    them.
    """

    def __init__(
        self, series: NDArray[np.int16] | None, answers: NDArray[np.floating] | None, batch_size: int
    ) -> None:
        """Prepare the loss.

        Args:
            series: `(series, band, bin)` of the source, gaps nodata; None rehearses nothing.
            answers: `(series, class)`: probabilities that the model gave them before.
            batch_size: Series of the source in a step.
        """
        self._series, self._batch_size = series, batch_size
        self._answers = None if answers is None else torch.from_numpy(answers).float()
        self._maker: BatchMaker | None = None

    def begin(self, network: nn.Module, maker: BatchMaker) -> None:
        """Bring the answers to the device."""
        self._maker = maker
        if self._answers is not None:
            self._answers = self._answers.to(maker.device)

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        """Mean over the labels, and the mean divergence over as many series of the source as asked for."""
        if self._series is None or self._answers is None:
            return functional.cross_entropy(forward(batch.inputs), batch.labels)
        assert self._maker is not None, "begin has been called"
        rows = batch.rng.integers(len(self._series), size=self._batch_size)
        logits = forward(torch.cat([batch.inputs, self._maker.inputs(self._series[rows])]))
        own, old = logits[: len(batch.labels)], logits[len(batch.labels) :]
        answers = self._answers[self._maker.labels(rows)]
        kept = functional.kl_div(functional.log_softmax(old, dim=1), answers, reduction="batchmean")
        return functional.cross_entropy(own, batch.labels) + kept

    def finish(self, network: nn.Module) -> None:
        """Nothing follows."""

    def state(self) -> dict[str, Any]:
        """Nothing is kept: the answers are made again."""
        return {}

    def resume(self, state: dict[str, Any]) -> None:
        """Nothing was kept."""
