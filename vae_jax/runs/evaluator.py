"""A model with its data and preprocessing, ready to be evaluated."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.batches import fixed_draw
from vae_jax.data.dataset import Dataset
from vae_jax.distributions import Distribution
from vae_jax.evaluation import latents, likelihood
from vae_jax.training.step import model_functions
from vae_jax.types import Array, Key, Params, stream


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """A model with its data and preprocessing, ready to be evaluated.

    Everything compiled hangs on this object and takes the parameters as an argument, so
    those of many steps, or of all members of a grid, share one compilation.
    """

    config: ConfigDict
    dataset: Dataset

    @functools.cached_property
    def model(self) -> Any:
        return build.make_model(self.config, self.dataset.image_shape)

    @functools.cached_property
    def _apply(self) -> Callable:
        return model_functions(self.model).apply

    @functools.cached_property
    def encode(self) -> Callable[[Params, Array], Distribution]:
        """(params, x [B, H, W, C]) -> q(z | x), jitted."""
        return self._method("encode")

    @functools.cached_property
    def decode(self) -> Callable[[Params, Array], Distribution]:
        """(params, z [B, D]) -> p(x | z), jitted."""
        return self._method("decode")

    def _method(self, name: str) -> Callable[[Params, Array], Distribution]:
        return jax.jit(
            lambda params, batch: self.model.apply(
                {"params": params}, batch, method=name
            )
        )

    def prior(self, params: Params, key: Key, num: int) -> Array:
        """Codes drawn from the prior, [num, D]."""
        return self.model.apply({"params": params}, key, num, method="sample_prior")

    @functools.cached_property
    def _draws(self) -> Mapping[str, Callable[[Array, Array], Array]]:
        preprocess = build.make_preprocess(self.config)
        key = build.data_key(self.config)
        return {
            split: fixed_draw(preprocess, stream(key, f"evaluation {split}"))
            for split in ("train", "validation", "test")
        }

    def x(self, split: str, rows: np.ndarray) -> Array:
        """Model input of some images of a split, [len(rows), H, W, C].

        The same draw of binarisation or noise at every call.
        """
        images = getattr(self.dataset, split).images[rows]
        return self._draws[split](images, rows)

    def statistics(
        self,
        params: Params,
        split: str,
        num_samples: int,
        key: Key,
        progress: Callable[[int, int], None] | None = None,
    ) -> Mapping[str, Any]:
        """Per-image numbers of a split, see `likelihood.evaluate_images`."""
        return likelihood.evaluate_images(
            self._apply,
            params,
            getattr(self.dataset, split).images,
            self._draws[split],
            key,
            num_samples=num_samples,
            progress=progress,
        )

    def summary(
        self, statistics: Mapping[str, Any], num_samples: int
    ) -> dict[str, float | None]:
        """Means over a split, see `latents.summarize`."""
        return latents.summarize(
            statistics,
            num_samples=num_samples,
            num_pixels=int(np.prod(self.dataset.image_shape)),
            support=build.SUPPORTS[self.config.model.likelihood],
            dequantized=self.config.data.dequantize,
        )
