"""A model with its data and preprocessing, ready to be evaluated."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.tree_util import Partial
from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.batches import fixed_draw
from vae_jax.data.dataset import Dataset, to_unit_floats
from vae_jax.data.examples import Examples, Inputs, image_of, inputs, take
from vae_jax.data.labels import why_not_classes
from vae_jax.distributions import Distribution, Posterior
from vae_jax.evaluation import latents, likelihood
from vae_jax.evaluation.aggregate import Codes
from vae_jax.evaluation.chunks import even_rows
from vae_jax.evaluation.classifier import Classifier, fit_classifier
from vae_jax.evaluation.regularity import regularity
from vae_jax.trained import Trained, decode, first_posterior
from vae_jax.training.functions import model_functions
from vae_jax.training.state import Variables
from vae_jax.types import Array, Key, Params, stream

CODES_PER_CHUNK = 1000
MAX_TRAIN = 20_000  # training images that the classifier and the comparisons see


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
        return build.make_model(self.config, self.dataset.spec)

    @functools.cached_property
    def inputs(self) -> Inputs:
        """The parts of an example that the model is given."""
        return inputs(self.model)

    def examples(self, split: str) -> Examples:
        """What the model is given of a split, before preprocessing."""
        return self.dataset.examples(split, self.inputs)

    @functools.cached_property
    def _apply(self) -> Callable:
        return model_functions(self.model).apply

    def trained(self, variables: Params | Variables) -> Trained:
        """The model with parameters, and with its state if it has one."""
        if isinstance(variables, Variables):
            return Trained(self.model, variables.params, variables.model_state)
        return Trained(self.model, variables)

    def encode(self, params: Params, x: Array) -> Posterior:
        """q(z1 | x) of the layer next to the data, x [B, H, W, C]."""
        return first_posterior(self.trained(params), x)

    def decode(self, params: Params, z: Array) -> Distribution:
        """p(x | z1), z1 [B, D]."""
        return decode(self.trained(params), z)

    def prior(self, params: Params, key: Key, num: int) -> Array:
        """Codes of the layer next to the data, drawn from the prior, [num, D]."""
        return self.trained(params).prior(num).sample(key)[0]

    @functools.cached_property
    def _draws(self) -> Mapping[str, Callable[[Examples, Array], Examples]]:
        preprocess = build.make_preprocess(self.config)
        key = build.data_key(self.config)
        return {
            split: jax.jit(fixed_draw(preprocess, stream(key, f"evaluation {split}")))
            for split in ("train", "validation", "test")
        }

    def x(self, split: str, rows: np.ndarray) -> Examples:
        """Model input of some examples of a split, [len(rows), ...].

        The same draw of binarisation or noise at every call.
        """
        own = jax.tree.map(jnp.asarray, take(self.examples(split), rows))
        return self._draws[split](own, jnp.asarray(rows))

    def shown(self, split: str, num: int) -> tuple[np.ndarray, Array]:
        """The first images of a split and what the model sees of them, for figures.

        Both [min(num, N), H, W, C] in [0, 1].
        """
        images = self.dataset.splits[split].images[:num]
        x = self.x(split, np.arange(len(images)))
        return to_unit_floats(images), image_of(x)

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
            self.examples(split),
            self._draws[split],
            key,
            num_samples=num_samples,
            progress=progress,
        )

    def codes(self, params: Params, split: str) -> Codes:
        """Posterior means and standard deviations of a whole split, [N, D]."""
        total, parts = len(self.dataset.splits[split]), []
        for start in range(0, total, CODES_PER_CHUNK):
            # The last chunk repeats the last image: one shape, one compilation.
            rows = np.arange(start, start + CODES_PER_CHUNK).clip(max=total - 1)
            posterior = self.encode(params, self.x(split, rows))
            parts.append((posterior.mean, jnp.sqrt(posterior.variance)))
        mean, std = (np.concatenate(part)[:total] for part in zip(*parts, strict=True))
        return Codes(mean=jnp.asarray(mean), std=jnp.asarray(std))

    @functools.cached_property
    def _classifier(self) -> Classifier | None:
        """Of the labels, trained once for all parameters; None where they can't be."""
        classes = self.dataset.classes
        if classes is None:
            return None
        why_not = why_not_classes(classes, MAX_TRAIN)
        if why_not:
            logging.info("the numbers about labels are not defined: %s", why_not)
            return None
        train, test = classes.numbers["train"], classes.numbers["test"]
        labelled = np.flatnonzero(train >= 0)
        rows = labelled[even_rows(len(labelled), MAX_TRAIN)]
        test_rows = np.flatnonzero(test >= 0)
        return fit_classifier(
            image_of(self.x("train", rows)),
            train[rows],
            image_of(self.x("test", test_rows)),
            test[test_rows],
            stream(build.data_key(self.config), "classifier"),
            num_classes=len(classes.values),
        )

    def regularity(self, params: Params, key: Key) -> dict[str, float | None]:
        """Continuity and completeness of the latent space, see `regularity`."""
        return regularity(
            Partial(decode, self.trained(params)),
            Partial(first_posterior, self.trained(params)),
            self.codes(params, "train"),
            self.x("train", even_rows(len(self.dataset.train), MAX_TRAIN)),
            self.x("test", np.arange(len(self.dataset.test))),
            key,
            prior=lambda num: self.model.apply(
                {"params": params}, num, method=lambda model, n: model.prior(n)
            ),
            classifier=self._classifier,
            extras=self.config.eval.misleading,
        )

    def summary(
        self, statistics: Mapping[str, Any], num_samples: int
    ) -> dict[str, float | None]:
        """Means over a split, see `latents.summarize`."""
        return latents.summarize(
            statistics,
            num_samples=num_samples,
            num_pixels=int(np.prod(self.dataset.spec.image_shape)),
            support=getattr(build.make_likelihood(self.config), "support", "real"),
            dequantized=self.config.data.dequantize,
        )
