"""Gradients of the encoder and of everything else, kept apart."""

from typing import Any

import jax

from vae_jax.errors import ConfigError
from vae_jax.outputs import SplitOutput
from vae_jax.training.step import ModelFunctions, model_functions
from vae_jax.types import Key, Params


def split_model(model: Any, encoder_prefix: str = "encoder") -> ModelFunctions:
    """A model whose output comes twice, for `objectives.bounds.dreg` and `piwae`.

        trainer = vae_trainer(split_model(model), bounds.dreg, tx, num_samples=64)

    Both outputs have the same values. In `output.encoder` all parameters but the
    encoder's are constants, in `output.decoder` the encoder's are. The parameters, and
    so the states and checkpoints, are those of the model itself. The compiler merges
    the two forward passes; the price is a second backward pass through the activations
    of the decoder.

    Args:
        model: a Flax module or a `ModelFunctions`; its parameters are a dict.
        encoder_prefix: top-level names of the encoder's parameters start with it.

    Returns:
        `init` as before, `apply` with a `SplitOutput`.

    Raises:
        ConfigError: no parameter, or every one, has the prefix.
    """
    functions = model_functions(model)

    def apply(params: Params, x: Any, key: Key) -> Any:
        in_encoder = {name: name.startswith(encoder_prefix) for name in params}
        if len(set(in_encoder.values())) < 2:
            raise ConfigError(
                f"encoder_prefix={encoder_prefix!r}: must tell the encoder's parameters"
                f" from the others among {sorted(params)}"
            )
        constant = jax.lax.stop_gradient(params)
        encoder_only = {
            n: (params if e else constant)[n] for n, e in in_encoder.items()
        }
        decoder_only = {
            n: (constant if e else params)[n] for n, e in in_encoder.items()
        }
        return SplitOutput(
            encoder=functions.apply(encoder_only, x, key),
            decoder=functions.apply(decoder_only, x, key),
        )

    return ModelFunctions(functions.init, apply)
