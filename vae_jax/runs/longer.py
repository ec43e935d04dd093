"""Whether a run can be trained further."""

import pathlib

from vae_jax.fields import Fields, keeps_best

LENGTH = "train.num_steps"


def why_not_longer(workdir: pathlib.Path, config: Fields) -> str:
    """Why more steps would not make of a run what one long run is; "" if they would.

    Args:
        workdir: its folder.
        config: its config, flat.
    """
    schedule, length = config["optimizer.schedule"], config[LENGTH]
    if schedule != "constant":
        return (
            f"optimizer.schedule={schedule} depends on the length of training, so this"
            " run can't be trained further; start another one with --init_from"
        )
    every, wish = config["train.eval_every"], keeps_best(config)
    has_ended = (workdir / "checkpoints" / f"{length}").is_dir()
    has_ended |= (workdir / "results.json").is_file()
    if wish and length % every and has_ended:
        return (
            f"{wish} has compared the evaluation at its end, {length}, which is no"
            f" multiple of train.eval_every={every}: a longer run would not have made"
            " it, so this one can't be trained further; start another one"
        )
    return ""
