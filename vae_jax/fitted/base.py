"""What a way to fit a prior is, and what it is given."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vae_jax.distributions.fitted import FittedPrior
from vae_jax.errors import ConfigError
from vae_jax.outputs import Latent
from vae_jax.types import Array

NEITHER = ("draws", "key", "progress")  # arguments of `Fit.fit` that are no settings


class Draws(NamedTuple):
    """One code z ~ q(z | x) for each example of two splits.

    For shapes alone, its arrays may be `jax.ShapeDtypeStruct`s, see `Fit.like`.
    """

    train: Array  # [N, ...]: what a prior is fitted to
    validation: Array  # [M, ...]: what it is chosen by
    codebook: Array | None = None  # [C, d]: all codes, where they are discrete

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one code."""
        return self.train.shape[1:]

    @property
    def dim(self) -> int:
        """How many numbers a code has."""
        return int(np.prod(self.shape))


class Fit(NamedTuple):
    """One entry of `fitted.BY_NAME`."""

    fit: Callable[..., FittedPrior]
    """(draws, key, progress=None, **settings) -> the fitted prior.

    Its settings are its other arguments, all of which have a default."""

    like: Callable[..., FittedPrior]
    """(draws, key, **settings) -> a prior of the same form before it is fitted.

    Read from shapes alone by `jax.eval_shape`, to know what a file holds."""

    support: str = "real"
    """The support of the posteriors that it is for."""

    def settings(self) -> dict[str, float]:
        """The settings with their defaults."""
        arguments = inspect.signature(self.fit).parameters.values()
        return {a.name: a.default for a in arguments if a.name not in NEITHER}

    def with_defaults(self, name: str, **given: float) -> dict[str, float]:
        """All settings, some of them given.

        Args:
            name: name of this entry, for messages.
            **given: setting -> its value.

        Raises:
            ConfigError: there is no such setting.
        """
        known = self.settings()
        for setting, value in given.items():
            if setting not in known:
                own = ", ".join(known) or "none"
                raise ConfigError(
                    f"{setting}={value}: the prior {name} has no such setting (it has:"
                    f" {own})"
                )
        return {**known, **given}

    def why_not(self, latents: tuple[Latent, ...]) -> str | None:
        """Why it can't be fitted to these latent layers ("needs ..."), or None.

        Args:
            latents: what `Trained.encode` gives; shapes are enough.
        """
        if len(latents) > 1:
            return f"needs one latent layer, and this model has {len(latents)}"
        support = latents[0].posterior.support
        if support == self.support:
            return None
        if self.support == "code":
            return "needs discrete codes, and those of this model are real numbers"
        return "needs codes of real numbers, and those of this model are discrete"
