"""A model with its encoder split off, for objectives that train the two differently."""

import jax

from vae_jax.errors import ConfigError
from vae_jax.outputs import SplitOutput
from vae_jax.training.functions import AnyModel, StatefulModel, stateful_model
from vae_jax.types import Examples, Hparams, Key, ModelState, Params


def separate_encoder(model: AnyModel, encoder_prefix: str = "encoder") -> StatefulModel:
    """A model whose output comes twice, for objectives that split the encoder off.

    `vae_trainer` does this itself for an objective with `splits_encoder`, such as
    `bounds.dreg`; call it where the encoder's parameters have other names. Both outputs
    have the same values. In `output.encoder` all parameters but the encoder's are
    constants, in `output.decoder` the encoder's are. The compiler merges the two
    forward passes; the price is a second backward pass through the activations of the
    decoder.

    Args:
        model: see `functions.stateful_model`; its parameters are a dict.
        encoder_prefix: top-level names of the encoder's parameters start with it.

    Returns:
        The model, with a `SplitOutput`.

    Raises:
        ConfigError: no parameter, or every one, has the prefix; when it is applied.
    """
    functions = stateful_model(model)

    def apply(
        params: Params,
        state: ModelState,
        x: Examples,
        key: Key,
        hparams: Hparams,
        train: bool,
    ) -> tuple[SplitOutput, ModelState]:
        in_encoder = {name: name.startswith(encoder_prefix) for name in params}
        if len(set(in_encoder.values())) < 2:
            raise ConfigError(
                f"encoder_prefix={encoder_prefix!r}: must separate the encoder's"
                f" parameters from the others among {sorted(params)}"
            )
        constant = jax.lax.stop_gradient(params)
        encoder_only = {
            n: (params if e else constant)[n] for n, e in in_encoder.items()
        }
        decoder_only = {
            n: (constant if e else params)[n] for n, e in in_encoder.items()
        }
        encoder, _ = functions.apply(encoder_only, state, x, key, hparams, train)
        decoder, state = functions.apply(decoder_only, state, x, key, hparams, train)
        return SplitOutput(encoder=encoder, decoder=decoder), state

    return StatefulModel(functions.init, apply, splits_encoder=True)
