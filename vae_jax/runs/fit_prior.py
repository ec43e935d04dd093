"""Fits a prior to the codes of a run's training images."""

import pathlib
import time
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import fitted
from vae_jax.distributions.fitted import FittedPrior
from vae_jax.errors import ConfigError, DataError, choose
from vae_jax.evaluation.chunks import Progress, even_rows, map_rows
from vae_jax.evaluation.data import Split
from vae_jax.fitted.base import Draws
from vae_jax.fitted.training import mean_log_prob
from vae_jax.keys import root_key
from vae_jax.paths import PathLike
from vae_jax.ranges import SEED, require
from vae_jax.runs import prior_files
from vae_jax.runs.memory import check_count
from vae_jax.runs.opened import Run
from vae_jax.runs.run_data import split_of
from vae_jax.trained import Trained, first_posterior
from vae_jax.types import Array, Examples, Key, stream

CODES_PER_CHUNK = 1000
MAX_JUDGED = 5_000  # codes of a split that its nats are measured on


def fit_prior(
    run: Run,
    kind: str,
    settings: Mapping[str, float],
    *,
    seed: int = 0,
    data_dir: PathLike | None = None,
    progress: Progress | None = None,
) -> tuple[pathlib.Path, prior_files.Record]:
    """Fits a prior to the codes of a run and writes it into the run's folder.

    One code is drawn for each image of the training split, and of the validation split,
    by which the best of several fits is kept where there are several.

    Args:
        run: a trained run; it is not changed.
        kind: name of the prior, see `fitted.BY_NAME`.
        settings: arguments of its fit, by name; the others have their defaults.
        seed: seed of the random draws.
        data_dir: where the data lie, if they have moved.
        progress: called with (steps done, all steps) by fits that take long.

    Returns:
        The folder of the prior, and what its prior.json says.

    Raises:
        ConfigError: there is no such prior, it is not defined for this model, or a
            setting is out of its range.
        DataError: the data are not there, or not the same, or the codes have no
            density.
        StorageError: the prior can't be written.
    """
    entry = choose(fitted.BY_NAME, "prior", kind)
    settings = entry.with_defaults(kind, **settings)
    require(SEED, seed=seed)
    for name, value in settings.items():
        check_count(name, value)
    dataset = run.dataset(data_dir)
    train = split_of(run.config, dataset, run.inputs, "train")
    validation = split_of(run.config, dataset, run.inputs, "validation")
    trained = Trained.of(run.model, run.variables)
    if trained.conditions_on is not None:
        raise ConfigError(
            f"prior={kind}: {run.workdir} is conditional, and a fitted prior would be"
            f" the same for every {trained.conditions_on}"
        )
    first = train.x(np.zeros(1, int))
    latents = jax.eval_shape(Trained.encode, trained, first, jax.random.key(0))
    if reason := entry.why_not(latents):
        raise ConfigError(f"prior={kind}: {reason}")
    key = stream(root_key(seed), "fitted prior")
    draws = Draws(
        codes_of(trained, train, stream(key, "train")),
        codes_of(trained, validation, stream(key, "validation")),
        first_posterior(trained, first).codebook if entry.support == "code" else None,
    )
    start = time.monotonic()
    prior = jax.block_until_ready(
        entry.fit(draws, stream(key, "fit"), progress=progress, **settings)
    )
    seconds = time.monotonic() - start
    record = prior_files.Record(
        kind=kind,
        settings=settings,
        seed=seed,
        run=run.digest,
        step=run.step,
        shape=draws.shape,
        codebook=None if draws.codebook is None else draws.codebook.shape,
        num_codes=len(draws.train),
        train_nats=_nats(prior, draws.train),
        validation_nats=_nats(prior, draws.validation),
        seconds=seconds,
    )
    return prior_files.save(run.workdir, prior, record), record


def codes_of(trained: Trained, split: Split, key: Key) -> Array:
    """One draw of q(z | x) for each example of a split, [N, ...].

    Args:
        trained: a trained model with one latent layer.
        split: the examples.
        key: random key for the draws.

    Raises:
        DataError: a code is not finite.
    """

    def chunk(rows: np.ndarray) -> Array:
        return _draw(trained, split.x(rows), jax.random.fold_in(key, rows[0]))

    codes = map_rows(chunk, len(split), CODES_PER_CHUNK)
    if not np.isfinite(codes).all():
        raise DataError("the model gives codes that are not finite: nothing fits them")
    return jnp.asarray(codes)


@jax.jit
def _draw(trained: Trained, x: Examples, key: Key) -> Array:
    return trained.encode(x, key)[0].z


def _nats(prior: FittedPrior, codes: Array) -> float:
    """Mean of minus log p(z) over codes that are evenly spread over a split."""
    rows = codes[even_rows(len(codes), MAX_JUDGED)]
    return -float(_mean_log_prob(prior, rows))


@jax.jit
def _mean_log_prob(prior: FittedPrior, codes: Array) -> Array:
    return mean_log_prob(lambda prior, z: prior.log_prob(z), prior, codes)
