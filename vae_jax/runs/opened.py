"""A trained run, opened from its workdir."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import flax.linen as nn
import jax
import numpy as np
from ml_collections import ConfigDict
from numpy.typing import ArrayLike

from vae_jax import build, traced
from vae_jax.data.arrays import as_stored
from vae_jax.data.dataset import Dataset
from vae_jax.data.examples import Inputs, abstract_x, inputs, num_examples
from vae_jax.data.fixed_draw import fixed_draw
from vae_jax.data.spec import DataSpec
from vae_jax.distributions import Distribution, Posterior
from vae_jax.distributions.fitted import FittedPrior
from vae_jax.errors import CheckpointError
from vae_jax.evaluation.first_layer import FirstLayer
from vae_jax.keys import root_key
from vae_jax.paths import PathLike, local_path
from vae_jax.runs import decoded, identity, prior_files
from vae_jax.runs.asked_labels import Labels, in_turn, refuse_label
from vae_jax.runs.best import abstract_saved
from vae_jax.storage.checkpoints import Checkpoints
from vae_jax.storage.manifest import Json
from vae_jax.trained import (
    Trained,
    as_codes,
    decode,
    first_posterior,
    image_likelihood,
)
from vae_jax.training.state import Variables
from vae_jax.training.step import Trainer
from vae_jax.types import AnyArray, Codes, Examples, Hparams, Key, Params, stream


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained model as it lies in a workdir."""

    workdir: pathlib.Path
    config: ConfigDict = dataclasses.field(repr=False)
    spec: DataSpec = dataclasses.field(repr=False)
    step: int
    variables: Params | Variables = dataclasses.field(repr=False)
    meta: Json = dataclasses.field(repr=False)
    prior: str | None = None  # name of the fitted prior in place of the model's own
    fitted: FittedPrior | None = dataclasses.field(default=None, repr=False)  # that one

    def with_prior(self, name: str) -> "Run":
        """The same run with a prior that was fitted to its codes, in place of its own.

        Args:
            name: name of a prior that `experiments.fit_prior` has fitted.

        Raises:
            ConfigError: there is none, or the run was trained further since.
            DataError: its files are damaged.
        """
        fitted = prior_files.load(self.workdir, name, self.digest, self.step)
        return dataclasses.replace(self, prior=name, fitted=fitted)

    @functools.cached_property
    def model(self) -> nn.Module:
        return build.make_parts(self.config, self.spec)["model"]

    @property
    def inputs(self) -> Inputs:
        """Names of the parts of the data that the model is given."""
        return inputs(self.model)

    @functools.cached_property
    def trained(self) -> Trained:
        """The model with its parameters, and with the fitted prior if it has one."""
        trained = Trained.of(self.model, self.variables)
        return dataclasses.replace(trained, fitted=self.fitted)

    @property
    def digest(self) -> str:
        """What makes it the run it is, see `identity.digest`."""
        data = identity.read_data(self.workdir)
        return identity.digest(self.config.to_dict(), data)

    @property
    def params(self) -> Params:
        """The parameters of the model."""
        return self.trained.params

    @functools.cached_property
    def trainer(self) -> Trainer:
        """The init, step and loss that it was trained with."""
        parts = build.make_parts(self.config, self.spec)
        return build.make_trainer(self.config, parts)

    @property
    def hparams(self) -> Hparams:
        """The traced numbers that its step takes."""
        return traced.make_hparams_of(self.config)

    @functools.cached_property
    def _draw(self) -> Callable[[Examples, AnyArray], Examples]:
        """(images, rows) -> x, of images of a user's own."""
        key = stream(build.data_key(self.config), "reconstruct")
        return fixed_draw(build.make_preprocess(self.config, of_pixels=True), key)

    def preprocess(self, images: Examples) -> Examples:
        """Images as the model sees them.

        Args:
            images: [N, H, W, C], uint8, or floats in [0, 1]; or rows of real numbers
                [N, D]: see `data.arrays.as_stored`. Or, for a model that is given more
                than images, a dict of arrays with them as "image", and as "label" the
                numbers of their classes, in the order of `labels`.

        Returns:
            x, with the same draw of binarisation or noise at each call.

        Raises:
            DataError: another shape than that of the run's images, or other values.
        """
        pixels = as_stored(images, self.spec)
        return self._draw(pixels, np.arange(num_examples(pixels)))

    def encode(self, images: Examples) -> Posterior:
        """q(z | x) of the layer next to the data, for images as in `preprocess`.

        Where that layer looks at draws of those above, they are the same at each call;
        `run.trained.encode(run.preprocess(images), key)` gives all layers.
        """
        return first_posterior(self.trained, self.preprocess(images))

    def decode(self, codes: Codes | AnyArray, label: Labels = None) -> Distribution:
        """p(x | z), of the image.

        Args:
            codes: z of the layer next to the data, [N, ...], or, of a model with
                several layers, a tuple; or rows [N, D] as `experiments.encode` writes
                them, with the codes of all layers that are decoded side by side.
            label: what the model is to decode or draw, see `given`.

        Raises:
            ConfigError: rows of another length than the model's; or see `given`.
        """
        codes = decoded.split_rows(self.layer, as_codes(codes))
        given = self.given(len(codes[0]), label)
        return image_likelihood(decode(self.trained, codes, given))

    def sample(
        self, num: int, seed: int = 0, temperature: float = 1.0, label: Labels = None
    ) -> np.ndarray:
        """Means of p(x | z) for draws of the prior, [num, H, W, C].

        Args:
            num: how many draws.
            seed: seed of the draws.
            temperature: multiplies the prior's standard deviations.
            label: what the model is to decode or draw, see `given`.
        """
        return self.draws(root_key(seed), num, temperature, label)["mean"]

    def draws(
        self, key: Key, num: int, temperature: float = 1.0, label: Labels = None
    ) -> dict[str, np.ndarray]:
        """Draws of the prior, decoded.

        Args:
            key: random key for the draws.
            num: how many.
            temperature: multiplies the prior's standard deviations.
            label: what the model is to draw, see `given`.

        Returns:
            The arrays of `decoded.draws`, and with labels also these, `label` [num].

        Raises:
            ConfigError: see `given`.
        """
        given = self.given(num, label)
        drawn = decoded.draws(self.trained, key, num, temperature, given)
        known = {} if given is None else {"label": np.array(self.labels)[given]}
        return drawn | known

    def reconstruct(self, images: Examples) -> dict[str, np.ndarray]:
        """Images as in `preprocess`, encoded and decoded: see `decoded.reconstruct`."""
        x = as_stored(images, self.spec)
        return decoded.reconstruct(self.layer, self._draw, x)

    @functools.cached_property
    def layer(self) -> FirstLayer:
        """What is decoded, in rows: see `FirstLayer`."""
        x = abstract_x(self.spec, self.inputs, 1)
        return FirstLayer.of(self.trained, x)

    def points(self, images: Examples) -> np.ndarray:
        """Codes that stand for images, in rows.

        Args:
            images: as in `preprocess`.

        Returns:
            [N, D], means of q(z | x), see `FirstLayer.points`; of a conditional model,
            with the number of the label at the end of a row.
        """
        return np.asarray(self.layer.points(self.preprocess(images)))

    def interpolate(
        self, points: ArrayLike, steps: int = 10, path: str = "linear"
    ) -> np.ndarray:
        """Means of p(x | z) between `points`, see `decoded.interpolate`."""
        return decoded.interpolate(self.layer, points, steps, path)

    @functools.cached_property
    def labels(self) -> tuple[int, ...]:
        """The labels of the data, if the model is given such in training; else ()."""
        return tuple(identity.read_data(self.workdir).get("labels", ()))

    def given(self, num: int, label: Labels = None) -> np.ndarray | None:
        """What a model is given for `num` draws.

        Args:
            num: how many draws.
            label: a label as the data have it, or several, which are taken in turn.
                None: all of them in turn, of a conditional model; nothing, of others.

        Returns:
            The numbers of their classes, int32 [num]; None for no label.

        Raises:
            ConfigError: no such label, or none at all, see `Trained.can_be_given`.
        """
        if self.trained.can_be_given is None:
            refuse_label(label, self.workdir)
        if self.trained.conditions_on is None and label is None:
            return None
        return in_turn(self.labels, label, num)

    @property
    def code_size(self) -> int:
        """How many numbers a code has, in all layers together."""
        prior = self.trained.prior(1, self.given(1))
        return sum(z.size for z in jax.eval_shape(prior.sample, self.root_key))

    @property
    def root_key(self) -> Key:
        """The key that all others of the run are streams of."""
        return build.run_key(self.config)

    def dataset(self, data_dir: PathLike | None = None) -> Dataset:
        """The images it was trained on, from `data_dir` if they have moved.

        Args:
            data_dir: folder of TFDS sets; for `npz:` and `folder:` sets, the file or
                folder itself, or one that holds it under its old name.

        Raises:
            DataError: they are not there, or not the same.
        """
        dataset = build.make_dataset(self.config, data_dir)
        identity.check_same_data(self.workdir, identity.describe(dataset, self.inputs))
        return dataset


def open_run(
    workdir: PathLike, prior: str | None = None, *, step: int | None = None
) -> Run:
    """Restores a checkpoint of a workdir, finished or not.

    Args:
        workdir: the folder of the run, or of a member of a grid.
        prior: name of a fitted prior for it, see `Run.with_prior`; None: its own.
        step: number of a step that has a checkpoint: of the last `train.max_to_keep`
            ones; None: the newest good one.

    Returns:
        The run; its parameters are the best by validation where they were kept.

    Raises:
        ConfigError: there is no run, or no such prior.
        DataError: one of its small files is damaged.
        CheckpointError: there is no checkpoint of this step that can be restored.
    """
    workdir = local_path(workdir)
    config = identity.read_config(workdir)
    data = identity.read_data(workdir)
    checkpoints = Checkpoints(
        workdir / "checkpoints", run=identity.digest(config.to_dict(), data)
    )
    spec = DataSpec.from_json(data)
    restored = checkpoints.restore(abstract_saved(config, spec), step)
    if restored is None:
        raise CheckpointError(f"workdir={workdir}: the run has no checkpoint yet")
    _, saved, meta = restored
    run = Run(workdir, config, spec, int(saved.step), saved.variables, meta)
    return run if prior is None else run.with_prior(prior)
