"""Vector quantisation with a codebook that follows the encoder by running averages."""

from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vae_jax.distributions.quantized import Quantized, index_of
from vae_jax.quantizers.sites import require_few_codes, vectors_at_sites
from vae_jax.ranges import COUNT, COUNT_OR_0, FRACTION, require
from vae_jax.types import Array

SMOOTHING = 1e-5  # of the counts, so that an unused code is no division by 0


class Codebook(NamedTuple):
    """Running averages over batches: how often each code was used, and its vectors."""

    counts: Array  # n, [C]
    sums: Array  # m, sum of the vectors that were assigned to it, [C, d]

    @property
    def vectors(self) -> Array:
        """The codes, m over the smoothed n, [C, d].

        n~ = N (n + s) / (N + C s) with N = sum n. The smoothed counts are not kept:
        written back, they would drift towards their mean.
        """
        total = self.counts.sum()
        rest = SMOOTHING * len(self.counts)
        smoothed = (self.counts + SMOOTHING) * total / (total + rest)
        return self.sums / smoothed[:, None]

    def updated(self, vectors: Array, index: Array, decay: Array) -> "Codebook":
        """decay times the averages so far plus (1 - decay) times those of a batch.

        Args:
            vectors: what was quantised, [N, d].
            index: to which code, [N].
            decay: 0 to keep the batch alone, which is a step of k-means.
        """
        # A product rather than a scattered sum, whose order on a GPU is not fixed.
        chosen = jax.nn.one_hot(index, len(self.counts), dtype=vectors.dtype)
        sums = jnp.matmul(chosen.T, vectors, precision="highest")
        new = Codebook(chosen.sum(axis=0), sums)
        return jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, self, new)

    def without_dead(self, candidates: Array, share: float) -> "Codebook":
        """Codes that are hardly used begin anew elsewhere, with an average count.

        Args:
            candidates: a vector for each code, which takes its place if it is dead,
                [C, d].
            share: a code is dead if its count is below this share of the mean count.
        """
        average = self.counts.mean()
        dead = self.counts < share * average
        return Codebook(
            counts=jnp.where(dead, average, self.counts),
            sums=jnp.where(dead[:, None], average * candidates, self.sums),
        )


class VQPosterior(nn.Module):
    """q(z | x) on the nearest of C learned vectors, by squared distance.

    The codes are averages of what was assigned to them, updated in every training step
    and kept in the collection "codebook"; no gradient reaches them. In the first step
    they are vectors of the batch, drawn at random. For `num_start_steps` steps nothing
    is carried over, which is k-means on the batches and leaves the averages without a
    bias from where they began. A code whose count falls below `dead_share` of the mean
    count is replaced by a vector of the batch. The loss needs the commitment term of
    the objective `quantized`. Over K draws of a step the new averages are averaged.

    An average of the parameters (`ema_decay` of a trainer) is of the encoder and not of
    the codes, which belong to the encoder of the last step. `models.base.Chain` joins
    an encoder's network and this posterior and hands `train` on to it.

    Sources: van den Oord et al. 2017, arXiv:1711.00937, appendix A.1, for the averages;
    Zeghidour et al. 2021, arXiv:2107.03312, section III.C, for the start and the
    replacement.
    """

    distribution: ClassVar[type] = Quantized

    num_codes: int = 256
    code_dim: int = 8
    num_sites: int = 16  # of features without places, see `sites.vectors_at_sites`
    decay: float = 0.99
    num_start_steps: int = 10
    dead_share: float = 0.1

    def __post_init__(self) -> None:
        sizes = {n: getattr(self, n) for n in ("num_codes", "code_dim", "num_sites")}
        require(COUNT, **sizes)
        require_few_codes("num_codes", self.num_codes, self.num_codes)
        require(FRACTION, decay=self.decay, dead_share=self.dead_share)
        require(COUNT_OR_0, num_start_steps=self.num_start_steps)
        super().__post_init__()

    @nn.compact
    def __call__(self, features: Array, train: bool) -> Quantized:
        # `train` has no default: left out by mistake, the codes would never be learned.
        before = vectors_at_sites(features, self.num_sites, self.code_dim)
        step = self.variable("codebook", "step", lambda: jnp.zeros((), jnp.int32))
        counts = self.variable("codebook", "counts", jnp.ones, self.num_codes)
        shape = (self.num_codes, self.code_dim)

        def start() -> Array:
            return jax.random.normal(self.make_rng("params"), shape)

        sums = self.variable("codebook", "sums", start)
        codebook = Codebook(counts.value, sums.value)
        if not train or self.is_initializing():
            return _nearest(before, codebook.vectors)
        vectors = jax.lax.stop_gradient(before).reshape(-1, self.code_dim)
        rows = jax.random.randint(
            self.make_rng("dropout"), (self.num_codes,), 0, len(vectors)
        )
        # A choice of numbers, not a `lax.cond`: with several members in one program
        # both branches would be computed anyway.
        first, starting = step.value == 0, step.value < self.num_start_steps
        found = _nearest(before, jnp.where(first, vectors[rows], codebook.vectors))
        decay = jnp.where(first | starting, 0.0, self.decay)
        codebook = codebook.updated(vectors, found.index.reshape(-1), decay)
        codebook = codebook.without_dead(vectors[rows], self.dead_share)
        step.value += 1
        counts.value, sums.value = codebook
        return found


def _nearest(before: Array, codebook: Array) -> Quantized:
    index = index_of(jax.lax.stop_gradient(before), codebook)
    return Quantized.straight_through(before, index, codebook)
