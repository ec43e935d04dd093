"""What the figures of a run show of its model, and what is shown as it trains."""

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.data.examples import image_of
from vae_jax.evaluation.chunks import even_rows, row_chunks
from vae_jax.evaluation.data import Data, Split
from vae_jax.evaluation.first_layer import CODES_PER_CHUNK, FirstLayer
from vae_jax.outputs import flat_moments
from vae_jax.report.images import image_grid
from vae_jax.report.latent_space import LatentSpace
from vae_jax.trained import Trained, image_likelihood
from vae_jax.types import Array, Codes, Examples, Given, Key, stream

NUM_SAMPLES = 64
MOST_LABELS = 16  # rows of the picture of samples of a conditional model
PER_LABEL = 8  # draws in each
ROWS = 8  # images that are decoded with every label
MOST_LAYERS = 8  # rows of the picture of layers
PER_LAYER = 10  # draws in each
COLUMNS = 8  # of the pictures during training: images, and draws in each of two rows


def latent_space(
    trained: Trained, data: Data, key: Key, images: np.ndarray
) -> LatentSpace:
    """The latent layer next to the data, and those above, on the held-out split.

    Args:
        trained: a model with its parameters.
        data: data of the run.
        key: random key, the root key of the run.
        images: n images of the held-out split, evenly spread over it, [n, H, W, C] in
            [0, 1].

    Returns:
        The arrays that `figures.draw_all` draws.
    """
    layer = FirstLayer.of_split(trained, data.heldout)
    draws_key = stream(key, "figures")
    means: list[np.ndarray] = []
    sums: list[np.ndarray] | None = None
    for rows, new in row_chunks(len(data.heldout), CODES_PER_CHUNK):
        kl_key = jax.random.fold_in(draws_key, rows[0])
        found = _mean_and_kls(layer, data.heldout.x(rows), kl_key)
        mean, kls, is_standard = jax.device_get(found)
        means.append(mean[:new])
        if kls is not None:
            parts = [kl[:new].sum(axis=0, dtype=np.float64) for kl in kls]
            sums = parts if sums is None else list(map(np.add, sums, parts))
    seen = data.heldout.some(len(images)).x()
    kls = None if sums is None else [part / len(data.heldout) for part in sums]
    shown = np.asarray(layer.points(seen))
    num, given, by_label = NUM_SAMPLES, None, None
    if trained.can_be_given is not None:
        labels = even_rows(len(data.labels), MOST_LABELS)
        by_label = with_every_label(layer, shown[:ROWS], labels)
        given = np.repeat(labels, PER_LABEL)
        num = len(given)
    return LatentSpace(
        codes=np.concatenate(means),
        shown=shown,
        kl=None if kls is None else np.concatenate(kls[: len(layer.shapes)]),
        layer_kl=None if kls is None else np.array([kl.sum() for kl in kls]),
        prior_codes=np.asarray(layer.prior(num, given).sample(draws_key)),
        prior_labels=None if given is None else [data.labels[i] for i in given],
        by_label=by_label,
        decode=lambda z: np.asarray(layer.decode(jnp.asarray(z)).mean),
        images=images,
        seen=np.asarray(image_of(seen)),
        name="z" if layer.is_only and not layer.shapes[1:] else f"z{layer.mapped + 1}",
        layers=layer_samples(
            trained,
            stream(draws_key, "layers"),
            given if layer.is_conditional else None,
        ),
        is_continuous=layer.is_continuous,
        has_standard_prior=bool(is_standard),
        num_held=int(layer.is_conditional),
    )


def with_every_label(
    layer: FirstLayer, points: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Means of p(x | z, y) for codes of some images and each label.

    What a label does not say, such as the style of a digit, stays that of the image.
    Source: Kingma et al. 2014, arXiv:1406.5298, figure 1.

    Args:
        layer: the first layer of a model that can be given labels.
        points: codes, [R, D], see `FirstLayer.points`.
        labels: numbers of classes, [L].

    Returns:
        [R, L, H, W, C].
    """
    z = jnp.asarray(np.repeat(points, len(labels), axis=0))
    given = jnp.asarray(np.tile(labels, len(points)))
    images = np.asarray(layer.decode(z, given).mean)
    return images.reshape(len(points), len(labels), *images.shape[1:])


def layer_samples(
    trained: Trained, key: Key, given: np.ndarray | None = None
) -> dict[int, np.ndarray]:
    """Samples that share the codes of the upper layers, for one layer after the other.

    Args:
        trained: a model with its parameters.
        key: random key for the draws.
        given: what a conditional model is given; its first entry counts.

    Returns:
        For some layers l, the top one first and the one next to the data last: means of
        p(x | z), [T, H, W, C], with z_{l+1}, ..., zL the same in all of them, and those
        below drawn anew for each. Empty for a model with one layer.
    """
    given = None if given is None else given[:1]
    codes = _one_draw(trained, given, key)
    if len(codes) == 1:
        return {}
    numbers = len(codes) - even_rows(len(codes), MOST_LAYERS)
    return {
        int(number): np.asarray(
            _below(trained, codes[number:], given, jax.random.fold_in(key, number))
        )
        for number in numbers
    }


@jax.jit
def _one_draw(trained: Trained, given: Given, key: Key) -> Codes:
    return trained.prior(1, given).sample(key)


@jax.jit
def _below(trained: Trained, above: Codes, given: Given, key: Key) -> Array:
    """Images of draws of the layers below some codes, [T, H, W, C]."""
    kept, given = jax.tree.map(
        lambda leaf: jnp.repeat(leaf, PER_LAYER, axis=0), (above, given)
    )
    codes = trained.prior(PER_LAYER, given).sample(key, above=kept)
    return image_likelihood(trained.decode(codes, given)).mean


@jax.jit
def _mean_and_kls(
    layer: FirstLayer, x: Examples, key: Key
) -> tuple[Array, tuple[Array, ...] | None, Array]:
    """Means [B, E], KL of each layer if it has a density, and whether p(z) is N(0, I).

    Means and prior are of the layer that the map shows.
    """
    latents = layer.trained.encode(x, key)
    mapped = latents[layer.mapped]
    mean, _ = flat_moments(mapped.posterior)
    is_standard = mapped.has_standard_prior.all()
    if not all(latent.has_density for latent in latents):
        return mean, None, is_standard
    return mean, tuple(latent.kl() for latent in latents), is_standard


class EvaluationPictures:
    """Reconstructions and samples of a model as it trains.

    They are of the same images and the same draws at each call, so that what changes
    from one to the next is the model.
    """

    def __init__(self, data: Data, validation: Split, key: Key) -> None:
        """Chooses the images.

        Args:
            data: data of the run.
            validation: the split that the images are from.
            key: random key for the draws.
        """
        self._x = validation.some(COLUMNS).x()
        self._given = np.resize(np.arange(max(1, len(data.labels))), 2 * COLUMNS)
        self._key = key

    def __call__(self, trained: Trained) -> dict[str, np.ndarray]:
        """The pictures, uint8 [H, W, 3].

        Args:
            trained: a model with its parameters.

        Returns:
            `eval/reconstructions`, a row of images as the model sees them and below it
            the means of p(x | z) with a draw z of q(z | x); `eval/samples`, the means
            of p(x | z) for draws of the prior, where they can be of a label for all of
            these in turn.
        """
        given = None if trained.can_be_given is None else jnp.asarray(self._given)
        pairs, samples = jax.device_get(_shown(trained, self._x, given, self._key))
        return {
            "eval/reconstructions": _picture(pairs),
            "eval/samples": _picture(samples),
        }


@jax.jit
def _shown(
    trained: Trained, x: Examples, given: Given, key: Key
) -> tuple[Array, Array]:
    """Images and below them their reconstructions, and samples; both [N, H, W, C]."""
    reconstructed = image_likelihood(
        trained(x, stream(key, "reconstructions")).likelihood
    )
    pairs = jnp.concatenate([image_of(x), reconstructed.mean])
    samples = trained.sample(stream(key, "samples"), 2 * COLUMNS, given)
    return pairs, image_likelihood(samples).mean


def _picture(images: np.ndarray) -> np.ndarray:
    """Images in rows, as uint8 with three channels; black where not finite."""
    grid = image_grid(np.nan_to_num(images, posinf=0.0, neginf=0.0), COLUMNS)
    return np.round(255 * np.broadcast_to(grid, (*grid.shape[:2], 3))).astype(np.uint8)
