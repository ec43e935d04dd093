"""A model with its encoder split off, for objectives that train the two differently."""

from typing import Any

import jax

from vae_jax.errors import ConfigError
from vae_jax.outputs import SplitOutput
from vae_jax.training.functions import AnyModel, StatefulModel, stateful_model
from vae_jax.types import Array, Examples, Hparams, Key, ModelState, Params


def separate_encoder(model: AnyModel, encoder_prefix: str = "encoder") -> StatefulModel:
    """A model whose output comes twice, for objectives that split the encoder off.

    `vae_trainer` does this itself for an objective with `splits_encoder`, such as
    `bounds.dreg`; call it where the encoder's parameters have other names. Both outputs
    have the same values. In `output.encoder` all parameters but the encoder's are
    constants, in `output.decoder` the encoder's are. The compiler merges the two
    forward passes; the price is a second backward pass through the activations of the
    decoder.

    A model may have parts of its encoder elsewhere, too: its `encoder_names` are names
    of such parts, at any depth.

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
        if len({name.startswith(encoder_prefix) for name in params}) < 2:
            raise ConfigError(
                f"encoder_prefix={encoder_prefix!r}: must separate the encoder's"
                f" parameters from the others among {sorted(params)}"
            )

        def only(of_encoder: bool) -> Params:
            def leaf(path: tuple[Any, ...], value: Array) -> Array:
                names = [str(getattr(entry, "key", "")) for entry in path]
                in_encoder = names[0].startswith(encoder_prefix)
                in_encoder |= any(name in functions.encoder_names for name in names)
                kept = in_encoder == of_encoder
                return value if kept else jax.lax.stop_gradient(value)

            return jax.tree_util.tree_map_with_path(leaf, params)

        encoder, _ = functions.apply(only(True), state, x, key, hparams, train)
        decoder, state = functions.apply(only(False), state, x, key, hparams, train)
        return SplitOutput(encoder=encoder, decoder=decoder), state

    return functions._replace(apply=apply, splits_encoder=True)
