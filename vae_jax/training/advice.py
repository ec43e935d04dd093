"""What to write where a layer of Flax lacks something, in the place of its error."""

import contextlib
import re
from collections.abc import Iterator

from flax import errors as flax_errors

from vae_jax.errors import ContractError


@contextlib.contextmanager
def advised(train: bool) -> Iterator[None]:
    """Turns an error of Flax into one that says what to write, where that is known.

    Args:
        train: whether the model is called as in training.

    Raises:
        ContractError: a layer is not given what it needs.
    """
    try:
        yield
    except flax_errors.FlaxError as error:
        if advice := _advice(error, train):
            raise ContractError(advice) from error
        raise


def _advice(error: flax_errors.FlaxError, train: bool) -> str | None:
    """What to write where a layer needs something that it is not given."""
    text = str(error)
    rng = re.match(r'(\S+) needs PRNG for "(\w+)"', text)
    # At apply, only a variable that is missing is drawn from "params" anew.
    if rng and rng[2] != "params":
        if rng[2] != "dropout":
            return (
                f"{rng[1]} needs the random stream {rng[2]!r}: a step has the stream"
                " 'dropout' and the key of __call__(x, key), a part of which can be"
                " given to the layer"
            )
        return (
            f"{rng[1]} draws in evaluation: let __call__(x, key, train) take `train`,"
            " and give the layer deterministic=not train"
        )
    changed = isinstance(error, flax_errors.ModifyScopeVariableError)
    if changed and not train:
        collection = re.search(r'collection "(\w+)"', text)
        return (
            f"the model changes {repr(collection[1]) if collection else 'its state'} in"
            " evaluation: let __call__(x, key, train) take `train`, and give the layer"
            " use_running_average=not train"
        )
    missing = (
        flax_errors.ScopeCollectionNotFound,
        flax_errors.ScopeVariableNotFoundError,
    )
    if isinstance(error, flax_errors.ScopeParamShapeError):
        return (
            f"the parameters are not those of this model: {text.partition('. (')[0]};"
            " those of all members of an ensemble have one more axis, over which"
            " jax.vmap maps"
        )
    if (rng or isinstance(error, missing)) and train:
        return (
            "the model reads variables that it has not been given: give"
            " model_state=state.model_state beside its parameters"
        )
    if rng or isinstance(error, missing):
        return (
            "the model reads variables that it has not been given: give its parameters"
            " together with its state, as state.eval_variables of a TrainState does"
        )
    return None
