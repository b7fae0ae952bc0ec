"""Published weights by name: where they are, their digest and their licence. Nothing heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class KnownWeights:
    """One published file of weights."""

    name: str
    """What commands call it."""
    encoder: str
    """Encoder that it fits; a network has the same name, and others are made of it, see `USES`."""
    title: str
    """What it is."""
    repository: str
    """Owner and name on GitHub."""
    commit: str
    """Commit that it is taken from, shortened."""
    path: str
    """Within the repository."""
    size: int
    """Bytes."""
    sha256: str
    """64 hex digits."""
    licence: str
    """Its short name."""
    copyright: str
    """Whom the licence names."""

    @property
    def address(self) -> str:
        """URL of the file."""
        return f"https://github.com/{self.repository}/raw/{self.commit}/{self.path}"

    @property
    def file(self) -> str:
        """Name of the file on this computer; those of the repositories say less."""
        return f"{self.name}.pt"

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        return f"{self.repository} at {self.commit}, {self.path}"

    @property
    def terms(self) -> str:
        """The licence in one line."""
        return (
            f"{self.title}: licence {self.licence}, copyright {self.copyright}. Copies must keep this notice "
            f"and the licence's text, https://github.com/{self.repository}."
        )

    def facts(self) -> dict[str, str]:
        """What a model that started from it says of it, as JSON values."""
        names = ("name", "title", "source", "sha256", "licence", "copyright")
        return {name: getattr(self, name) for name in names}


KNOWN: Final[dict[str, KnownWeights]] = {
    one.name: one
    for one in (
        KnownWeights(
            name="presto",
            encoder="presto",
            title="Presto (Tseng et al. 2023)",
            repository="nasaharvest/presto",
            commit="13173d0",
            path="data/default_model.pt",
            size=3_321_716,
            sha256="559c9d76f525bdf2dd3774da8b1e7f1510769b73baacac12e9e4d8d5c67fbe65",
            licence="MIT",
            copyright="(c) 2024 Presto Authors",
        ),
        KnownWeights(
            name="presto-worldcereal",
            encoder="presto",
            title="Presto, trained further by WorldCereal",
            repository="WorldCereal/prometheo",
            commit="5fb3969",
            path="prometheo/data/finetuned_presto_model.pt",
            size=1_647_786,
            sha256="5c11407d84b7f622e415796d13e9790eb6d7c2545510041a64abf60bd4f138fc",
            licence="MIT",
            copyright="WorldCereal consortium",
        ),
        KnownWeights(
            name="galileo-nano",
            encoder="galileo-nano",
            title="Galileo nano (Tseng et al. 2025)",
            repository="nasaharvest/galileo",
            commit="0f0b5b9",
            path="data/models/nano/encoder.pt",
            size=4_189_406,
            sha256="eab6acacf527886a508a555bc24efe4b4a2cf91b162e84cd1c4a1807e942180c",
            licence="MIT",
            copyright="(c) 2024 Presto Authors",
        ),
    )
}
"""The published weights by name."""

BY_DIGEST: Final = {one.sha256: one for one in KNOWN.values()}
"""The same by SHA-256."""


@dataclass(frozen=True)
class Use:
    """What a model does with a published encoder."""

    encoder: str
    """Which."""
    kept: bool
    """Whether it stays as it is published, so that the model is nothing without it; else training goes on
    from it, or from weights that are drawn."""


USES: Final[dict[str, Use]] = {
    "presto": Use("presto", kept=False),
    "presto-frozen": Use("presto", kept=True),
    "rf-on-presto": Use("presto", kept=True),
    "galileo-nano": Use("galileo-nano", kept=False),
    "galileo-nano-frozen": Use("galileo-nano", kept=True),
    "rf-on-galileo-nano": Use("galileo-nano", kept=True),
}
"""Name of a model of `training.models.registry.MODELS` -> its encoder; the others have none."""


def encoder_of(model: str) -> str | None:
    """The encoder of a model, or None.

    Args:
        model: Name in `training.models.registry.MODELS`.
    """
    return USES[model].encoder if model in USES else None
