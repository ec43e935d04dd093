"""A trained model of the lesson, with its results and its data."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.dataset import Dataset
from vae_jax.distributions import Posterior
from vae_jax.evaluation.aggregate import Codes
from vae_jax.evaluation.data import Data
from vae_jax.evaluation.first_layer import FirstLayer
from vae_jax.fitted.base import Draws
from vae_jax.fitted.mixture import FullMixture, fit_mixture
from vae_jax.runs import opened
from vae_jax.runs.fit_prior import codes_of
from vae_jax.runs.run_data import run_data
from vae_jax.trained import first_posterior
from vae_jax.types import Array, Key, stream

COMPONENTS = 10  # normals of the mixture that is fitted to the codes


@dataclasses.dataclass(frozen=True)
class Model:
    """A model of the lesson: trained, and its results."""

    results: Mapping[str, Any]
    folder: pathlib.Path
    dataset: Dataset

    @functools.cached_property
    def config(self) -> ConfigDict:
        return self.run.config

    @functools.cached_property
    def run(self) -> opened.Run:
        return opened.open_run(self.folder)

    @functools.cached_property
    def data(self) -> Data:
        return run_data(self.config, self.dataset, self.run.inputs)

    @functools.cached_property
    def layer(self) -> FirstLayer:
        return FirstLayer.of(self.run.trained, self.data.heldout.x(np.zeros(1, int)))

    @functools.cached_property
    def codes(self) -> Codes:
        """Of the training images."""
        return self.layer.codes(self.data.train, self.key)

    @functools.cached_property
    def mixture(self) -> FullMixture:
        """Ten normals, fitted to one draw of the code of each training image."""
        key = stream(self.key, "mixture")
        draws = Draws(*[codes_of(self.run.trained, self.data.train, key)] * 2)
        return fit_mixture(draws, key, num_components=COMPONENTS)

    @property
    def key(self) -> Key:
        """The key of everything that the lesson draws."""
        return stream(build.data_key(self.config), "lesson")

    def encode(self, x: Array) -> Posterior:
        """x [B, H, W, C] -> q(z | x)."""
        return first_posterior(self.run.trained, x)

    def decode(self, z: Any) -> np.ndarray:
        """z [..., D] -> means of p(x | z), [..., H, W, C]."""
        z = np.asarray(z, np.float32)
        mean = self.layer.decode(z.reshape(-1, z.shape[-1])).mean
        return np.asarray(mean).reshape(*z.shape[:-1], *mean.shape[1:])

    def distortion(self, z: Array, x: Array) -> float:
        """Mean of -log p(x | z), nats."""
        return -float(self.layer.decode(z).log_prob(x).mean())
