"""The variational autoencoder that is given the label of each image."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from vae_jax.distributions.base import Distribution
from vae_jax.distributions.tabular import Product
from vae_jax.errors import ConfigError, ContractError
from vae_jax.models.base import (
    LayeredPrior,
    call_part,
    check_classes,
    check_layers,
    check_parts,
    takes,
)
from vae_jax.models.vae import VAE
from vae_jax.outputs import Latent, VAEOutput
from vae_jax.ranges import COUNT, require
from vae_jax.types import Array, Codes, Examples, Given, Key

CONDITIONS = ("none", "label")


class ConditionalVAE(nn.Module):
    """q(z | x, y), p(z | y) and p(x | z, y) with the label y of an image x.

    The label is given and not modelled: the ELBO bounds log p(x | y). The parts are
    those of a `VAE`. The encoder sees one more channel, a learned plane for each label,
    so that any network of images fits; the decoder sees the code and the one-hot label
    side by side. A prior whose `__call__` takes `label`, such as `LabelNormal`, gives
    p(z | y), any other p(z) for all labels.

        ConditionalVAE(
            encoder=nn.Sequential([MLPEncoder((400,)), DiagonalNormalPosterior(20)]),
            prior=LabelNormal(20, num_classes=10),
            decoder=nn.Sequential(
                [MLPDecoder((28, 28, 1), (400,)), BernoulliLikelihood()]
            ),
            num_classes=10,
        )

    Source: Sohn et al. 2015, equation 4.
    """

    inputs: ClassVar[tuple[str, ...]] = ("image", "label")
    conditions_on: ClassVar[str] = "label"

    encoder: nn.Module
    prior: nn.Module
    decoder: nn.Module
    num_classes: int

    def __post_init__(self) -> None:
        require(COUNT, num_classes=self.num_classes)
        super().__post_init__()

    def setup(self) -> None:
        # Named so that objectives that keep the encoder apart count it in.
        self.encoder_label = LabelPlane(self.num_classes)

    def __call__(self, x: Examples, key: Key, train: bool = False) -> VAEOutput:
        """Draws one code per example and decodes it.

        Args:
            x: {"image": [B, H, W, C], "label": [B]} with labels 0, ..., C - 1.
            key: random key for the draw.
            train: whether this is a training step; passed on to parts that take it.

        Returns:
            p(x | z, y), a `tabular.Product` of the part "image" alone, and one latent
            layer.
        """
        latents = self.encode(x, key, train)
        likelihood = self._decode(latents[0].z, x["label"], train)
        return VAEOutput(likelihood=likelihood, latents=latents)

    def encode(self, x: Examples, key: Key, train: bool = False) -> tuple[Latent, ...]:
        """The one latent layer: q(z | x, y), a draw from it, and p(z | y)."""
        check_parts(x, self.inputs)
        check_classes(x["label"], self.num_classes)
        image = self.encoder_label(x["image"], x["label"])
        posterior = call_part(self.encoder, image, train=train)
        z = posterior.sample(key)
        return (Latent(z=z, posterior=posterior, prior=self._prior(x["label"])),)

    def decode(self, codes: Codes, given: Given = None) -> Distribution:
        """p(x | z, y) for labels `given`, [B]."""
        check_layers(codes, 1)
        return self._decode(codes[0], self._labels(given))

    def joint_prior(self, num: int, given: Given = None) -> LayeredPrior:
        """p(z | y) for labels `given`, [num]."""
        labels = self._labels(given)
        if labels.shape != (num,):
            raise ContractError(
                f"given has the shape {labels.shape}: it must be {num} labels, [{num}]"
            )
        return LayeredPrior(self._prior(labels))

    def _labels(self, given: Given) -> Array:
        if given is None:
            raise ContractError("a ConditionalVAE is given labels: `given` is None")
        check_classes(given, self.num_classes)
        return jnp.asarray(given)

    def _prior(self, label: Array) -> Distribution:
        if takes(self.prior, "label"):
            return self.prior(label.shape[0], label=label)
        return self.prior(label.shape[0])

    def _decode(self, z: Array, label: Array, train: bool = False) -> Product:
        code = jax.nn.one_hot(label, self.num_classes, dtype=z.dtype)
        both = jnp.concatenate([z, code], axis=-1)
        return Product({"image": call_part(self.decoder, both, train=train)})


class LabelPlane(nn.Module):
    """Adds a channel to images: a learned plane for each label."""

    num_classes: int

    @nn.compact
    def __call__(self, image: Array, label: Array) -> Array:
        """[B, H, W, C] and [B] -> [B, H, W, C + 1]."""
        height, width = image.shape[1:3]
        code = jax.nn.one_hot(label, self.num_classes, dtype=image.dtype)
        plane = nn.Dense(height * width)(code).reshape(-1, height, width, 1)
        return jnp.concatenate([image, plane], axis=-1)


def vae(
    *,
    encoder: nn.Module,
    prior: nn.Module,
    decoder: nn.Module,
    num_classes: int | None,
    condition: str,
) -> nn.Module:
    """A `VAE`, or a `ConditionalVAE`.

    Args:
        encoder: x -> q(z | x).
        prior: number of rows -> p(z); it may take `label`.
        decoder: z -> p(x | z).
        num_classes: how many labels the data have; None where they are no classes.
        condition: what the model is given beside the image, one of `CONDITIONS`.

    Returns:
        The model.

    Raises:
        ConfigError: it is to be given labels, and there are none.
    """
    if condition == "none":
        return VAE(encoder, prior, decoder)
    if num_classes is None:
        raise ConfigError(f"condition={condition} needs data with labels")
    return ConditionalVAE(encoder, prior, decoder, num_classes)
