"""The semi-supervised autoencoder M2: the class of an image is a latent variable."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from vae_jax.distributions.base import Distribution
from vae_jax.distributions.normal import DiagonalNormal
from vae_jax.distributions.one_hot import OneHot
from vae_jax.distributions.tabular import Product
from vae_jax.errors import ConfigError
from vae_jax.models.base import (
    Chain,
    LayeredPrior,
    call_part,
    check_classes,
    check_layers,
    check_parts,
)
from vae_jax.outputs import Latent, VAEOutput
from vae_jax.ranges import require_widths
from vae_jax.types import Array, Codes, Given, Key, stream


class M2(nn.Module):
    """Two latent variables: the class y, one of C, and the rest z.

    p(y) is uniform, p(z) the prior, p(x | z, y) the decoder; q(y | x) is a classifier
    of its own and q(z | x, y) is inferred from features of the image and the class:

        log p(x)    >= sum_y q(y | x) (bound_y(x) - log q(y | x)),
        log p(x, y) >= bound_y(x)
                     = log p(x | z, y) - KL(q(z | x, y) || p(z)) + log p(y).

    x is {"image": [B, H, W, C], "label": [B]}, and the likelihood is of the image
    alone. Its output is that of a model with two layers, z and above it y as a one-hot
    vector, both drawn: ELBO and NLL bound log p(image), whatever the label is.

    What `objectives.semi_supervised` trains are the `extras`, for every class without
    a draw of it: `class_log_lik`, log p(x | z, y); `class_rate`, the KL of q(z | x, y)
    to p(z); and `class_log_prob`, log q(y | x); nats, [B, C]. All classes of an image
    share the noise of z, so that differences between them have less of it. A draw of y
    passes on no gradient, hence another objective would not train the classifier.

    In a training step the first `num_labelled_rows` rows are known to be labelled and
    are decoded for their own class only; they have that class's numbers at every class.

    Source: Kingma et al. 2014, arXiv:1406.5298, equations 6 to 8.
    """

    inputs: ClassVar[tuple[str, ...]] = ("image", "label")
    num_layers: ClassVar[int] = 2
    can_be_given: ClassVar[str] = "label"
    decodes_all_layers: ClassVar[bool] = True
    needs_posterior: ClassVar[type] = DiagonalNormal
    gives_extras: ClassVar[tuple[str, ...]] = (
        "class_log_lik",
        "class_rate",
        "class_log_prob",
    )
    draws_without_gradient: ClassVar[bool] = True

    classifier: nn.Module  # images -> logits [B, C]
    features: nn.Module  # images -> [B, F]
    encoder: nn.Module  # [features, y] -> q(z | x, y), a DiagonalNormal
    prior: nn.Module  # batch size -> p(z)
    decoder: nn.Module  # [z, y] -> p(image | z, y)
    num_classes: int
    num_labelled_rows: int = 0

    def __call__(
        self, x: Mapping[str, Array], key: Key, train: bool = False
    ) -> VAEOutput:
        """Draws a class and a code per image, and takes the terms of all classes.

        Args:
            x: {"image": [B, H, W, C], "label": [B]}.
            key: random key for the draws.
            train: whether this is a training step; passed on to parts that take it.

        Returns:
            p(x | z, y), the layers z and y, and the `extras`.
        """
        check_parts(x, self.inputs)
        check_classes(x["label"], self.num_classes, or_none=True)
        q_y, features = self._seen(x, train)
        latents = self._drawn(q_y, features, key, train)
        likelihood = self._decoded(latents[0].z, latents[1].z, train)
        terms = self._class_terms(x, features, stream(key, "classes"), train)
        extras = {**terms, "class_log_prob": q_y.log_probs}
        return VAEOutput(likelihood=likelihood, latents=latents, extras=extras)

    def classify(self, x: Mapping[str, Array]) -> Array:
        """log q(y | x), nats, [B, C]."""
        check_parts(x, ("image",))
        return OneHot(self.classifier(x["image"])).log_probs

    def encode(
        self, x: Mapping[str, Array], key: Key, train: bool = False
    ) -> tuple[Latent, ...]:
        """The layers z and y; both are drawn, and the label is not looked at."""
        return self._drawn(*self._seen(x, train), key, train)

    def decode(self, codes: Codes, given: Given = None) -> Distribution:
        """p(x | z, y) with fields [B, ...].

        Args:
            codes: z, and y as one-hot vectors or between such.
            given: numbers of classes [B] in the place of y.
        """
        check_layers(codes, 2)
        z, y = codes
        if given is not None:
            check_classes(given, self.num_classes)
            y = jax.nn.one_hot(given, self.num_classes)
        return self._decoded(z, y)

    def joint_prior(self, num: int, given: Given = None) -> LayeredPrior:
        """p(z) p(y) of `num` rows; or, where classes [num] are given, y is these."""
        if given is None:
            top = OneHot.uniform(num, self.num_classes)
        else:
            check_classes(given, self.num_classes)
            top = OneHot.certain(given, self.num_classes)
        return LayeredPrior(top, [lambda y: self.prior(y.shape[0])])

    def _seen(self, x: Mapping[str, Array], train: bool) -> tuple[OneHot, Array]:
        """q(y | x), and the features that q(z | x, y) sees."""
        check_parts(x, ("image",))
        logits = call_part(self.classifier, x["image"], train=train)
        return OneHot(logits), call_part(self.features, x["image"], train=train)

    def _drawn(
        self, q_y: OneHot, features: Array, key: Key, train: bool
    ) -> tuple[Latent, ...]:
        y_key, z_key = jax.random.split(key)
        y = q_y.sample(y_key)
        q_z = self._encoded(features, y, train)
        num = y.shape[0]
        return (
            Latent(z=q_z.sample(z_key), posterior=q_z, prior=self.prior(num)),
            Latent(z=y, posterior=q_y, prior=OneHot.uniform(num, self.num_classes)),
        )

    def _encoded(self, features: Array, y: Array, train: bool) -> DiagonalNormal:
        joined = jnp.concatenate([features, y], axis=1)
        return call_part(self.encoder, joined, train=train)

    def _decoded(self, z: Array, y: Array, train: bool = False) -> Product:
        joined = jnp.concatenate([z, y], axis=1)
        return Product({"image": call_part(self.decoder, joined, train=train)})

    def _class_terms(
        self, x: Mapping[str, Array], features: Array, key: Key, train: bool
    ) -> dict[str, Array]:
        """log p(x | z, y) and KL(q(z | x, y) || p(z)) for each class, [B, C]."""
        count, num_rows = self.num_classes, features.shape[0]
        known = min(self.num_labelled_rows, num_rows) if train else 0

        def each(rows: Array) -> Array:
            """[B, ...] -> [R, ...]: the labelled rows, then the others once a class."""
            others = jnp.broadcast_to(rows[known:], (count, *rows[known:].shape))
            others = others.reshape(-1, *rows.shape[1:])
            return jnp.concatenate([rows[:known], others])

        def table(values: Array) -> Array:
            """[R] -> [B, C]."""
            own = jnp.broadcast_to(values[:known, None], (known, count))
            others = values[known:].reshape(count, num_rows - known).T
            return jnp.concatenate([own, others])

        classes = jnp.repeat(jnp.arange(count), num_rows - known)
        index = jnp.concatenate([x["label"][:known], classes])
        y = jax.nn.one_hot(index, count)
        q_z = self._encoded(each(features), y, train)
        noise = jax.random.normal(key, (num_rows, q_z.mean.shape[1]))
        z = q_z.mean + q_z.std * each(noise)
        latent = Latent(z=z, posterior=q_z, prior=self.prior(z.shape[0]))
        likelihood = self._decoded(z, y, train)
        return {
            "class_log_lik": table(likelihood.log_prob({"image": each(x["image"])})),
            "class_rate": table(latent.kl().sum(axis=1)),
        }


def m2(
    *,
    features: nn.Module,
    posterior: nn.Module,
    decoder: nn.Module,
    prior: nn.Module,
    make_mlp: Callable[..., nn.Module],
    num_classes: int | None,
    labelled_batch_size: int,
    hidden_dims: Sequence[int] = (256,),
) -> M2:
    """An `M2` whose classifier is a network like that of the encoder.

    Args:
        features: images -> features.
        posterior: features -> q(z | x, y).
        decoder: [z, y] -> p(x | z, y).
        prior: p(z).
        make_mlp: widths of layers -> network.
        num_classes: C; None where the data have no classes.
        labelled_batch_size: how many rows of a training batch are labelled, if these
            come first; 0 if any row may be.
        hidden_dims: widths of the network from features and class to q(z | x, y).

    Returns:
        The model.

    Raises:
        ConfigError: the data have no classes, or a width is not valid.
    """
    if num_classes is None:
        raise ConfigError(
            "name=m2 needs images with labels that are classes, and these data have"
            " none: choose data with labels, or model.name=vae"
        )
    require_widths(hidden_dims=hidden_dims)
    return M2(
        classifier=Chain([features.clone(), nn.Dense(num_classes)]),
        features=features,
        encoder=Chain([make_mlp(hidden_dims), posterior]),
        prior=prior,
        decoder=decoder,
        num_classes=num_classes,
        num_labelled_rows=labelled_batch_size,
    )
