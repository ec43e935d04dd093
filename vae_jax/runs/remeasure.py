"""Measures a trained run again: another split, other measures, more samples."""

from collections.abc import Callable, Sequence

from vae_jax.evaluation import measures
from vae_jax.evaluation.measures import Effort
from vae_jax.files import check_writable, writing
from vae_jax.paths import PathLike
from vae_jax.runs import prior_files
from vae_jax.runs.finish import log_undefined
from vae_jax.runs.memory import check_annealing, check_count
from vae_jax.runs.opened import Run
from vae_jax.runs.run_data import run_data
from vae_jax.storage.manifest import Json
from vae_jax.storage.records import write_json

SPLITS = ("train", "validation", "test")


def remeasure(
    run: Run,
    names: Sequence[str],
    effort: Effort,
    *,
    split: str = "test",
    num_images: int | None = None,
    data_dir: PathLike | None = None,
    on_start: Callable[[str], None] | None = None,
) -> Json:
    """Measures a trained run and writes the numbers into its folder evaluation/.

    results.json, which belongs to training, stays as it is.

    Args:
        run: a trained run.
        names: names of measures, see `evaluation.measures.selected`.
        effort: how much to compute.
        split: the split to measure on, one of `SPLITS`.
        num_images: how many of its images at most, evenly spread; None means all.
        data_dir: where the data lie, if they have moved.
        on_start: called with the name of each measure when it begins.

    Returns:
        The numbers, and what they were measured with. The file also says which fit of
        a prior it was.

    Raises:
        ConfigError: there is no such measure, or it takes more memory than there is.
        DataError: the data are not there, or not the same.
        StorageError: the folder can't be written.
    """
    chosen = measures.selected(names)
    check_count("--num_samples", effort.num_samples)
    parts = [split, "+".join(chosen)]
    about: Json = {}
    fit: Json = {}
    if run.prior is not None:
        # Of the prior that is measured: another fit may replace it meanwhile.
        fit["prior_crc32"] = prior_files.checksum(run.workdir, run.prior, run.step)
        parts.append(f"prior-{run.prior}")
        about["prior"] = run.prior
    if "likelihood" in chosen:
        parts.append(f"k{effort.num_samples}")
    if "annealing" in chosen:
        annealing = effort.annealing
        temperatures, chains = annealing.num_temperatures, annealing.num_chains
        check_annealing(run.spec, temperatures, chains)
        about |= {"num_temperatures": temperatures, "num_chains": chains}
        parts.append(f"t{temperatures}_c{chains}")
    data = run_data(run.config, run.dataset(data_dir), run.inputs, split, num_images)
    if num_images is not None:
        parts.append(f"n{len(data.heldout)}")
    folder = run.workdir / "evaluation"
    with writing(f"--workdir={run.workdir}"):
        folder.mkdir(exist_ok=True)  # before the numbers, which may take hours
        check_writable(folder)
    results = {
        "step": run.step,
        "split": split,
        "num_images": len(data.heldout),
        **about,
        **measures.measure(
            chosen,
            run.trained,
            data,
            run.root_key,
            effort,
            on_undefined=log_undefined,
            on_start=on_start,
        ),
    }
    with writing(f"--workdir={run.workdir}"):
        write_json(folder / f"{'_'.join(parts)}.json", results | fit)
    return results
