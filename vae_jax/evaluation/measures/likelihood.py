"""ELBO, NLL and what else samples of the posterior tell, example by example."""

import jax
import numpy as np

from vae_jax.data.examples import image_of
from vae_jax.distributions import Quantized
from vae_jax.evaluation.chunks import Progress
from vae_jax.evaluation.data import Data, Split
from vae_jax.evaluation.latents import summarize
from vae_jax.evaluation.likelihood import Statistics, evaluate_examples
from vae_jax.evaluation.measures.base import NOISE, Effort, Measure, Numbers, always
from vae_jax.outputs import VAEOutput
from vae_jax.quantities import Group, Quantity, one
from vae_jax.trained import Trained, image_likelihood
from vae_jax.types import Key, stream

FIT = Group(
    "Fit",
    "Per test image; pixels and latent dimensions summed. The ELBO is always that of"
    " weight 1, whatever weight the training used.",
)
ESTIMATE = Group("The estimate of the NLL", drawn=False)

QUANTITIES = (
    Quantity(
        "ELBO",
        "A lower bound of log p(x): minus rate, minus distortion.",
        one("elbo"),
        FIT,
        "up to 0 for discrete pixels",
        "larger is better",
        "nats",
        best="largest",
        brief="fit",
    ),
    Quantity(
        "Rate",
        "KL of q(z | x) to the prior: what the code costs. At weight 0 nothing holds it"
        " back, and its size means nothing.",
        one("rate"),
        FIT,
        "0 or more; 0 is a code that says nothing",
        unit="nats",
        scale="log",
        brief="fit",
    ),
    Quantity(
        "Distortion",
        "Minus log p(x | z): what the reconstruction loses.",
        one("distortion"),
        FIT,
        "0 or more for discrete pixels",
        "smaller, at the same rate",
        "nats",
        best="smallest",
        brief="fit",
    ),
    Quantity(
        "NLL",
        "Minus log p(x), estimated with weighted samples of q(z | x). The estimate is"
        " too high where q(z | x) is narrow, above all at weight 0. That of a density"
        " (normal, Laplace, continuous Bernoulli) may be negative, since a density may"
        " exceed 1, and on 8-bit images without noise (data.dequantize=False) it can't"
        " be compared between models.",
        one("nll"),
        FIT,
        "0 or more for discrete pixels; not above minus ELBO",
        "smaller is better",
        "nats",
        error="nll_standard_error",
        best="smallest",
        brief="fit",
    ),
    Quantity(
        "Posterior variance",
        "Mean variance of q(z | x) over images and dimensions. Not defined for"
        " discrete codes.",
        one("posterior_variance"),
        NOISE,
        "0 for an autoencoder, 1 for a code that knows nothing of its image",
        "between 0 and 1",
        scale="log",
        brief="code",
    ),
    Quantity(
        "Active units",
        "Dimensions whose posterior mean has a variance above 0.01 over the data. It"
        " says nothing about how well they are used.",
        one("active_units"),
        NOISE,
        "0 to the number of latent dimensions",
        "not 0",
        "dimensions",
        scale="count",
        brief="code",
    ),
    Quantity(
        "NLL, standard error",
        "Of the mean over images.",
        one("nll_standard_error"),
        ESTIMATE,
        unit="nats",
    ),
    Quantity("NLL, samples", "Per image.", one("nll_num_samples"), ESTIMATE),
    Quantity(
        "Effective sample size",
        "How many of those samples count. Near 1, the NLL is not to be trusted.",
        one("effective_sample_size"),
        ESTIMATE,
        "1 to the number of samples",
        "larger is better",
        best="largest",
    ),
    Quantity(
        "Bits per dimension",
        "The NLL per pixel.",
        one("bits_per_dim"),
        ESTIMATE,
        good="smaller is better",
        unit="bits",
        best="smallest",
    ),
)


def run(trained: Trained, data: Data, key: Key, effort: Effort) -> Numbers:
    """`latents.summarize` of the held-out examples; every layer counts."""
    split, num_samples = data.heldout, effort.num_samples
    key = stream(key, "evaluation")
    statistics = split_statistics(trained, split, key, num_samples, effort.progress)
    return summarize_split(
        trained,
        split,
        statistics,
        num_samples=num_samples,
        dequantized=data.dequantized,
    )


def split_statistics(
    trained: Trained,
    split: Split,
    key: Key,
    num_samples: int,
    progress: Progress | None = None,
) -> Statistics:
    """What `likelihood.evaluate_examples` gives of one split, by example.

    Args:
        trained: a model with its parameters.
        split: the examples.
        key: random key for the draws.
        num_samples: K of the importance-weighted bound.
        progress: called with (examples done, all) after each batch.
    """
    return evaluate_examples(
        Trained.__call__,
        trained,
        split.x,
        len(split),
        key,
        num_samples=num_samples,
        progress=progress,
    )


def summarize_split(
    trained: Trained,
    split: Split,
    statistics: Statistics,
    *,
    num_samples: int,
    dequantized: bool = False,
) -> Numbers:
    """ELBO, NLL and the like of one split, averaged over its examples.

    Args:
        trained: a model with its parameters.
        split: the examples.
        statistics: what `split_statistics` gives of them.
        num_samples: K of the statistics.
        dequantized: see `latents.summarize`.

    Returns:
        A number for each key of `QUANTITIES`; with more than one latent layer also
        `active_units_layer1`, `rate_layer1`, ...
    """
    one_x = split.some(1).x()
    output: VAEOutput = jax.eval_shape(
        Trained.__call__, trained, one_x, jax.random.key(0)
    )
    found = summarize(
        statistics,
        num_pixels=int(np.prod(image_of(one_x).shape[1:])),
        support=image_likelihood(output.likelihood).support,
        dequantized=dequantized,
        num_samples=num_samples,
    )
    if all(isinstance(latent.posterior, Quantized) for latent in output.latents):
        found["posterior_variance"] = None  # a number of a point, as of no noise
    return found


MEASURE = Measure(run, QUANTITIES, always)
