"""What a run's numbers say went wrong, in whole sentences."""

import math
import pathlib
from collections.abc import Sequence

from vae_jax import likelihoods
from vae_jax.data.spec import ANY_DATA
from vae_jax.errors import DataError
from vae_jax.fields import Fields
from vae_jax.flat import flatten
from vae_jax.models.stack import parse_blocks
from vae_jax.quantities import Results
from vae_jax.report.compare import Row, settings
from vae_jax.runs import members
from vae_jax.runs.identity import read_results
from vae_jax.storage.manifest import Json
from vae_jax.storage.records import read_json, read_metrics
from vae_jax.suitability import values_of

# A code in which so few dimensions vary, or none, and that tells less than a nat about
# its image, is collapsed. Unused dimensions alone are not: 11 of 20 are what Fashion
# MNIST needs, and the rate of a code that says little is spread thinly at times.
FEW_ACTIVE = 0.1
LITTLE_RATE = 1.0
# A layer of several that tells less, in nats, is its prior to the decoder: upper layers
# of a ladder may rightly say little, but those that are in use say ten times as much.
NO_RATE = 0.1
# A gap between training and validation is judged by the rate, what a code tells about
# its image in nats: unlike a share of the ELBO it doesn't depend on the units of a
# density or on pixels that are always black. Runs of the shipped configs lie below
# 0.1 of it, small sets (4,000 digits of 28x28) that still improve at up to 0.35.
LARGE_GAP = 0.5
# Weights of further terms that a code which says nothing makes small.
PENALTIES = ("tc_weight", "covariance_weight", "mmd_weight")
STANDARD_ERRORS = 3  # a gap below is chance
MANY_SKIPPED = 0.1  # share of steps that changed nothing


def diagnose_run(workdir: pathlib.Path) -> list[str]:
    """Applies `diagnose` to the files of a finished run.

    Args:
        workdir: folder of the run.

    Returns:
        The sentences of `diagnose`.

    Raises:
        DataError: a file is missing or damaged.
    """
    metrics = workdir / "metrics.jsonl"
    try:
        return diagnose(
            flatten(read_json(workdir / "config.json")),
            read_json(workdir / "data.json")["levels"],
            read_results(workdir),
            read_metrics(metrics) if metrics.is_file() else [],
        )
    except KeyError as error:
        raise DataError(f"{workdir}: its JSON files have no entry {error}") from error


def diagnose_grid(
    workdir: pathlib.Path, rows: Sequence[Row], swept: Sequence[str]
) -> list[str]:
    """Applies `diagnose` to the members of a grid, once for each setting.

    Args:
        workdir: folder of the grid.
        rows: its members, as `compare.settings` takes them.
        swept: config fields that differ between them, the seed aside.

    Returns:
        Sentences of `diagnose`, each with the names of the members that it is about in
        front. Of a setting's runs that have the same trouble, the first one's numbers
        stand for all.

    Raises:
        DataError: a file is missing or damaged.
    """
    found = []
    for setting in settings(rows, swept):
        troubles: dict[str, list[tuple[str, str]]] = {}
        for row in setting.finished:
            for sentence in diagnose_run(members.folder(workdir, row["name"])):
                kind = " ".join(sentence.split()[:2])  # what follows has numbers
                troubles.setdefault(kind, []).append((row["name"], sentence))
        for (name, sentence), *others in troubles.values():
            more = f" and {len(others)} more" if others else ""
            found.append(f"{name}{more}: {sentence}")
    return found


def diagnose(
    config: Fields,
    levels: str,
    results: Results,
    records: Sequence[Json],
) -> list[str]:
    """What a student should know about a run, one sentence each; none if it is healthy.

    Each names the numbers that show it and what to try.

    Args:
        config: config of the run, flat: {"hparams.kl_weight": 1.0, ...}.
        levels: values of its images, see `Dataset.levels`.
        results: the content of results.json.
        records: the lines of metrics.jsonl.

    Returns:
        At most one sentence about each of: a code that the decoder ignores (posterior
        collapse), layers of several that it ignores, or a code that nothing ties to the
        prior (weight 0); a validation ELBO far
        below that of training (overfitting); steps that were skipped for their large
        gradients; an NLL that is a density of 8-bit levels.
    """
    found = [
        _collapsed(config, results) or _unused_layers(config, results),
        _without_prior(config, results),
        _overfitted(results, records),
        _skipped(config, records),
        _density_of_levels(config, levels, results),
    ]
    return [sentence for sentence in found if sentence]


def _collapsed(config: Fields, results: Results) -> str | None:
    rate, active = results.get("rate"), results.get("active_units")
    if rate is None or active is None:
        return None
    dims = _num_dimensions(config)
    if active and not (active <= FEW_ACTIVE * dims and rate < LITTLE_RATE):
        return None
    # Codes that are all the same, and far away, are those of a loss that has exploded.
    if rate > dims:
        return None
    if config["objective.name"] == "capacity":
        less = f"a larger hparams.capacity than {config['hparams.capacity']:g}, or "
    else:
        smaller = [
            f"hparams.{name} than {weight:g}"
            for name in ("kl_weight", *PENALTIES)
            if (weight := config.get(f"hparams.{name}"))
        ]
        less = (
            f"a smaller {' or '.join(smaller)}, a warm-up (objective.schedule=linear"
            " with hparams.warmup_steps)"
        )
        if config["objective.name"] == "elbo":
            less += " or hparams.free_nats above 0"
        less = f"{less}, or " if smaller else ""  # else nothing presses on the code
    return (
        f"Posterior collapse: {active} of {dims} latent dimensions are used and the"
        f" rate is {rate:.2g} nats, so the decoder ignores the code and all draws look"
        f" alike; try {less}more train.num_steps if there were few."
    )


def _unused_layers(config: Fields, results: Results) -> str | None:
    rates = {
        int(name.removeprefix("rate_layer")): rate
        for name, rate in results.items()
        if name.startswith("rate_layer") and rate is not None
    }
    unused = [str(layer) for layer, rate in sorted(rates.items()) if rate < NO_RATE]
    if not unused:
        return None
    which = f"layer {unused[0]} tells"
    if unused[1:]:
        which = f"layers {' and '.join(unused)} tell"
    name = config["model.name"]
    # The layers of another model are always as many.
    may_be_fewer = {f"{name}.latent_dims", f"{name}.blocks"} & config.keys()
    hints = ["fewer layers, which would do as well"] * bool(may_be_fewer)
    if config["objective.name"] == "elbo":
        floor = config["hparams.free_nats_per_layer"]
        hints.insert(0, f"hparams.free_nats_per_layer above {floor:g}")
    if config["objective.schedule"] == "constant":
        warmup = "objective.schedule=linear with hparams.warmup_steps"
        hints.insert(0, f"a warm-up ({warmup})")
    if not hints:
        return None
    return (
        f"Unused layers: of {len(rates)} latent layers, counted from the data upwards,"
        f" {which} less than {NO_RATE} nats about its image; try {', or '.join(hints)}."
    )


def _num_dimensions(config: Fields) -> int:
    """How many numbers the codes of all layers hold."""
    name, latent_dim = config["model.name"], config["model.latent_dim"]
    if blocks := config.get(f"{name}.blocks"):  # maps, with that many channels
        maps = parse_blocks(blocks, ANY_DATA.image_shape)
        return latent_dim * sum(count * side**2 for side, count in maps)
    return latent_dim + sum(config.get(f"{name}.latent_dims", ()))


def _without_prior(config: Fields, results: Results) -> str | None:
    rate = results.get("rate")
    if rate is None or config["objective.name"] == "capacity":
        return None
    if config.get("hparams.mmd_weight"):  # which only mmd may have
        return None
    if config["hparams.kl_weight"] > 0:
        return None
    evidence = [f"the codes cost {rate:.4g} nats"]
    if results.get("outside_prior") is not None:
        evidence.append(
            f"{results['outside_prior']:.0%} of them lie outside the region that holds"
            " 99% of the prior"
        )
    if results.get("coverage") is not None:
        evidence.append(
            f"draws from the prior cover {results['coverage']:.0%} of the test images"
            f" (real images: {results['real_coverage']:.0%})"
        )
    if len(evidence) > 1:
        evidence[-1] = f"and {evidence[-1]}"
    return (
        "With hparams.kl_weight=0 nothing ties the codes to the prior:"
        f" {', '.join(evidence)}; this model reconstructs but is not made to"
        " generate, for which hparams.kl_weight=1 is the usual choice."
    )


def _overfitted(results: Results, records: Sequence[Json]) -> str | None:
    # Where the best parameters were kept, what came after them was left out.
    kept = results.get("step") if "trained_steps" in results else None
    last_step = math.inf if kept is None else kept
    seen = {
        split: [
            (record[f"{split}/elbo"], record["step"])
            for record in records
            if record.get(f"{split}/elbo") is not None and record["step"] <= last_step
        ]
        for split in ("train", "eval")
    }
    if not all(seen.values()) or results.get("rate") is None:
        return None
    train, last = seen["train"][-1][0], seen["eval"][-1][0]
    gap, rate = train - last, results["rate"]
    chance = STANDARD_ERRORS * (results.get("nll_standard_error") or 0.0)
    if not gap > max(LARGE_GAP * rate, LITTLE_RATE, chance):
        return None
    best, step = max(seen["eval"])
    if step == seen["eval"][-1][1]:  # it still rises
        return None
    return (
        f"Overfitting: the validation ELBO, {last:.4g} nats, lies {gap:.3g} nats below"
        f" that of training, {train:.4g}, which is much beside the {rate:.3g} nats that"
        f" a code tells about its image; it was best, {best:.4g}, at step {step}: try"
        " train.patience, a smaller network, or more images."
    )


def _skipped(config: Fields, records: Sequence[Json]) -> str | None:
    """A guard that stops every step stops all training: the gradient can't shrink."""
    found = [record for record in records if "train/skipped" in record]
    if not found:
        return None
    share = sum(record["train/skipped"] for record in found) / len(found)
    if share <= MANY_SKIPPED:
        return None
    limit, last = config["optimizer.skip_norm"], found[-1].get("train/grad_norm")
    at_end = "not finite" if last is None else f"{last:.4g}"
    return (
        f"Skipped steps: {share:.0%} of all changed nothing, because the norm of their"
        f" gradient was above optimizer.skip_norm={limit:g} or not finite (at the end"
        f" it was {at_end}); set it to many times the usual norm, and"
        " optimizer.clip_norm to shorten large gradients."
    )


def _density_of_levels(config: Fields, levels: str, results: Results) -> str | None:
    likelihood = config["model.likelihood"]
    support = getattr(likelihoods.BY_NAME.get(likelihood), "support", None)
    values = values_of(config["data.binarize"], config["data.dequantize"], levels)
    if values != "8bit" or support not in ("unit", "real"):
        return None
    if results.get("nll") is None:
        return None
    return (
        f"The NLL of {results['nll']:.4g} nats is that of a density"
        f" (model.likelihood={likelihood}) on 256 separate levels: it may be negative,"
        " can fall without end where the density narrows around a level, and can't be"
        " compared with other models'; set data.dequantize=True, or"
        " model.likelihood=logistic."
    )
