"""Ranges of the numbers of a config, and which of them go together.

Arguments of parts, such as `mixture.num_components`, are not here: the part's own
constructor checks them.
"""

from collections.abc import Mapping
from typing import Any

from vae_jax.errors import ConfigError
from vae_jax.ranges import (
    COUNT,
    COUNT_OR_0,
    FINITE,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    Range,
    is_count,
    require,
)

Config = Mapping[str, Any]  # all fields, or a section of them: nested, a ConfigDict
Fields = Mapping[str, Any]  # flat: {"train.num_steps": 3000, ...}

# Members of a program may differ in these.
SEED_FIELD, TRACED_SECTION = "seed", "hparams."

RANGES: Mapping[str, Range] = {
    "seed": SEED,
    # Any other number below `hparams.` must be finite.
    "hparams.kl_weight": NOT_NEGATIVE,
    "hparams.learning_rate": POSITIVE,
    "hparams.warmup_steps": COUNT_OR_0,
    "hparams.free_nats": NOT_NEGATIVE,
    "hparams.free_nats_per_layer": NOT_NEGATIVE,
    "hparams.capacity": NOT_NEGATIVE,
    "hparams.tc_weight": NOT_NEGATIVE,
    "hparams.covariance_weight": NOT_NEGATIVE,
    "hparams.mmd_weight": NOT_NEGATIVE,
    "hparams.code_weight": NOT_NEGATIVE,
    "hparams.gradient_weight": NOT_NEGATIVE,
    "hparams.commitment_weight": NOT_NEGATIVE,
    "hparams.entropy_weight": NOT_NEGATIVE,
    "hparams.classification_weight": NOT_NEGATIVE,
    "data.seed": SEED,
    "data.batch_size": COUNT,
    "data.num_labelled": COUNT_OR_0,
    "data.labelled_batch_size": COUNT_OR_0,
    "data.validation_fraction": FRACTION,
    "data.test_fraction": FRACTION,
    "data.device_budget_mb": POSITIVE,
    "model.latent_dim": COUNT,
    "objective.num_samples": COUNT,
    "optimizer.b1": FRACTION,
    "optimizer.b2": FRACTION,
    "optimizer.eps": POSITIVE,
    "optimizer.second_moment": NOT_NEGATIVE,
    "optimizer.clip_norm": NOT_NEGATIVE,
    "optimizer.skip_norm": NOT_NEGATIVE,
    "optimizer.ema_decay": FRACTION,
    "train.num_steps": COUNT,
    "train.log_every": COUNT,
    "train.eval_every": COUNT_OR_0,
    "train.checkpoint_every": COUNT_OR_0,
    "train.max_to_keep": COUNT,
    "train.patience": COUNT_OR_0,
    "eval.num_samples": COUNT,
}


def check(fields: Fields) -> None:
    """Checks every number's range, and fields of the training against each other.

    Args:
        fields: fields of a config, flat: {"train.num_steps": 3000, ...}.

    Raises:
        ConfigError: names the field, its value and what is valid.
        KeyError: there is no such field.
    """
    for field, valid in RANGES.items():
        require(valid, **{field: fields[field]})
    check_traced(fields)
    _check_labelled(fields)
    _check_groups(fields)
    if wish := keeps_best(fields):
        if not fields["train.eval_every"]:
            raise ConfigError(
                f"{wish} compares evaluations during training: set train.eval_every"
                " above 0"
            )


def check_traced(fields: Fields) -> None:
    """What `check` asks of the fields in which members of a program may differ.

    Args:
        fields: fields of a config, flat; the others have been checked.

    Raises:
        ConfigError: names the field, its value and what is valid.
    """
    for field, value in fields.items():
        if is_traced(field):
            require(RANGES.get(field, FINITE), **{field: value})
    _check_free_nats(fields)
    _check_warmup(fields)


def is_traced(field: str) -> bool:
    """Whether a field is an argument of the compiled program: a number, or the seed."""
    return field == SEED_FIELD or field.startswith(TRACED_SECTION)


def keeps_best(fields: Fields) -> str | None:
    """The field that asks to keep the parameters of the best validation ELBO.

    Args:
        fields: fields of a config, flat.

    Returns:
        The field and its value, as "train.patience=5"; None if no field requires it.
    """
    for field in ("train.keep_best", "train.patience"):
        if value := fields.get(field):  # a run of an older version may lack it
            return f"{field}={value}"
    return None


def _check_labelled(fields: Fields) -> None:
    """A batch with a share of labelled rows has unlabelled ones, too."""
    field = "data.labelled_batch_size"
    if fields[field] >= fields["data.batch_size"]:
        raise ConfigError(
            f"{field}={fields[field]}: must be below"
            f" data.batch_size={fields['data.batch_size']}, since the other rows of a"
            " batch are unlabelled"
        )


def _check_free_nats(fields: Fields) -> None:
    """One floor takes the place of the other."""
    names = ("hparams.free_nats", "hparams.free_nats_per_layer")
    if all(fields[name] for name in names):
        both = " and ".join(f"{name}={fields[name]}" for name in names)
        raise ConfigError(f"{both}: set one of them to 0")


def _check_warmup(fields: Fields) -> None:
    warmup, num_steps = fields["hparams.warmup_steps"], fields["train.num_steps"]
    is_constant = fields["objective.schedule"] == "constant"
    if is_constant and warmup:
        raise ConfigError(
            f"hparams.warmup_steps={warmup} has no effect with"
            " objective.schedule=constant: choose linear, sigmoid or cyclical"
        )
    if warmup > num_steps:
        raise ConfigError(
            f"hparams.warmup_steps={warmup} is longer than"
            f" train.num_steps={num_steps}: the schedule would never end"
        )


def _check_groups(fields: Fields) -> None:
    """Groups of samples are of one size."""
    field = f"{fields['objective.name']}.num_groups"
    groups, num_samples = fields.get(field, 1), fields["objective.num_samples"]
    if is_count(groups) and num_samples % groups:
        raise ConfigError(
            f"{field}={groups}: must divide objective.num_samples={num_samples}"
        )
