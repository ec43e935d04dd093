"""Where a training begins: at its newest checkpoint, or at step 0."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
from absl import logging

from vae_jax.data.examples import zeros_x
from vae_jax.data.spec import DataSpec
from vae_jax.errors import CheckpointError, ConfigError
from vae_jax.paths import local_path
from vae_jax.runs import identity, opened, processes
from vae_jax.runs.best import Saved, abstract_saved
from vae_jax.runs.course import Course
from vae_jax.runs.identity import Standing
from vae_jax.runs.program import Program
from vae_jax.runs.store import Store
from vae_jax.storage import manifest
from vae_jax.training.ensemble import over_members
from vae_jax.training.state import TrainState, Variables
from vae_jax.types import Examples, Key, Params


def restore_or_begin(program: Program, store: Store) -> tuple[int, Saved, Course]:
    """The newest checkpoint of a program's members, or else new states of them.

    New states begin with what the model of the run that `config.train.init_from` names
    has learned: its parameters, and batch averages or a codebook beside them. A
    resumed training no longer needs that run.

    Args:
        program: the members.
        store: store of their checkpoints.

    Returns:
        The number of updates made, the state of all members, [M, ...], and how
        training went until then.

    Raises:
        CheckpointError: no step is good, or the newest is beyond the end of training.
        VAEJaxError: the parameters to begin with are not there or don't fit.
    """
    spec, train = program.dataset.spec, program.config.train
    x = zeros_x(spec, program.inputs, 1)
    # Jitted, it is not traced again: `prepare` has traced the same function.
    init = jax.jit(program.prepared.trainer.init)

    def begin(init_keys: Key, x: Examples, given: Params | Variables | None) -> Saved:
        def begin_one(key: Key) -> Saved:
            state = init(key, x)
            if given is not None:
                state = _with_variables(state, given)
            return Saved.new(state, program.prepared.saved.best is not None)

        return over_members(begin_one, program.mode)(init_keys)

    init_keys = program.keys("init")
    restored = store.restore(jax.eval_shape(begin, init_keys, x, None))
    if restored is None:
        with processes.together():
            given = None
            if train.init_from:
                with _named(train.init_from):
                    given = opened.open_run(train.init_from).variables
        begin_all = jax.jit(begin, out_shardings=program.layout.state)
        return 0, begin_all(init_keys, x, given), Course()
    step, saved, meta = restored
    if step > train.num_steps:
        raise CheckpointError(
            f"{program.store}: there is a checkpoint of step {step}, and"
            f" train.num_steps={train.num_steps}: set train.num_steps={step} or more"
        )
    logging.info(
        "%s: resuming from step %d of %d", program.store, step, train.num_steps
    )
    return step, saved, Course.from_meta(meta)


def check_init_from(program: Program, standings: Sequence[Standing]) -> None:
    """Refuses, before anything is written, a run to begin with that doesn't fit.

    Args:
        program: the members, which begin with that run.
        standings: how they stand to their folders; only what is new begins.

    Raises:
        ConfigError: there is no such run, or its model has other arrays.
        CheckpointError: it has no checkpoint yet.
    """
    workdir = program.config.train.init_from
    if not workdir or not any(standing.is_new for standing in standings):
        return
    folder = local_path(workdir)
    with _named(workdir):
        config = identity.read_config(folder)
        if not identity.holds_checkpoint(folder):
            raise CheckpointError("the run has no checkpoint yet")
        spec = DataSpec.from_json(identity.read_data(folder))
    theirs = abstract_saved(config, spec).variables
    ours = program.prepared.saved.variables
    found, wanted = manifest.describe(theirs), manifest.describe(ours)
    if misfit := manifest.misfit(found, wanted):
        raise ConfigError(
            f"train.init_from={workdir}: {misfit}; the two runs need the same model and"
            " images of one shape"
        )


@contextlib.contextmanager
def _named(workdir: str) -> Iterator[None]:
    """Errors about a run to begin with name the field that it is given by."""
    try:
        yield
    except (ConfigError, CheckpointError) as error:
        reason = str(error).removeprefix(f"workdir={workdir}").lstrip(": ")
        raise type(error)(f"train.init_from={workdir}: {reason}") from error


def _with_variables(state: TrainState, given: Params | Variables) -> TrainState:
    """A new state of one member that begins with these parameters of the model."""
    kept = state.model_state
    if isinstance(given, Variables):
        given, kept = given.params, given.model_state
    # A copy: donating a state that holds one buffer twice is an error.
    average = None if state.ema_params is None else jax.tree.map(jnp.copy, given)
    learned = dataclasses.replace(state.params, model=given)
    return dataclasses.replace(
        state, params=learned, ema_params=average, model_state=kept
    )
