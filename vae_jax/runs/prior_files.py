"""Fitted priors of a run on disk: WORKDIR/priors/NAME/prior.json and arrays.npz."""

import dataclasses
import io
import pathlib
import zlib
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import fitted
from vae_jax.distributions.fitted import FittedPrior
from vae_jax.errors import ConfigError, DataError, choose
from vae_jax.files import replacing, writing
from vae_jax.fitted.base import Draws
from vae_jax.storage import manifest
from vae_jax.storage.records import read_json, write_json
from vae_jax.types import Array, Key

FOLDER = "priors"


@dataclasses.dataclass(frozen=True)
class Record:
    """What prior.json says of a fitted prior; all but `settings` are checked or shown.

    Nats are means of minus log p(z), which a code costs under the prior alone. They may
    be negative for codes that are real numbers.
    """

    kind: str  # key of `fitted.BY_NAME`
    settings: Mapping[str, float]  # all arguments of its fit
    seed: int  # of the random numbers of the fit
    run: str  # `identity.digest` of the run
    step: int  # of the parameters that made the codes
    shape: tuple[int, ...]  # of one code
    codebook: tuple[int, ...] | None  # shape of the codebook of discrete codes
    num_codes: int  # that it was fitted to
    train_nats: float
    validation_nats: float
    seconds: float  # that the fit took


def save(workdir: pathlib.Path, prior: FittedPrior, record: Record) -> pathlib.Path:
    """Writes a fitted prior, in the place of an older one of its kind.

    Args:
        workdir: folder of the run.
        prior: the prior.
        record: what is known of it.

    Returns:
        Its folder.

    Raises:
        StorageError: it can't be written.
    """
    folder = workdir / FOLDER / record.kind
    content = io.BytesIO()
    by_name = manifest.named(jax.tree.map(np.asarray, jax.device_get(prior)))
    np.savez(content, **by_name)
    arrays = content.getvalue()
    with writing(f"workdir={workdir}"):
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / "arrays.npz") as file:
            file.write(arrays)
        # Last, and with the checksum of the arrays: both are of one fit, or refused.
        about = {**dataclasses.asdict(record), "arrays_crc32": zlib.crc32(arrays)}
        write_json(folder / "prior.json", about)
    return folder


def load(workdir: pathlib.Path, kind: str, run: str, step: int) -> FittedPrior:
    """Reads a prior that was fitted to the codes of a run as it stands.

    Args:
        workdir: folder of the run.
        kind: key of `fitted.BY_NAME`.
        run: digest of the run, see `identity.digest`.
        step: step of its parameters.

    Raises:
        ConfigError: there is no such prior, or it belongs to other parameters.
        DataError: its files are damaged.
    """
    choose(fitted.BY_NAME, "prior", kind)
    folder = workdir / FOLDER / kind
    command = f"python -m vae_jax fit_prior --workdir={workdir} --prior={kind}"
    again = f"fit it again: {command}"
    if not (folder / "prior.json").is_file():
        there = sorted(p.parent.name for p in folder.parent.glob("*/prior.json"))
        raise ConfigError(
            f"prior={kind}: {workdir} has no such prior (it has:"
            f" {', '.join(there) or 'none'}); {command} fits one"
        )
    about = read_json(folder / "prior.json")
    damaged = DataError(f"{folder} is damaged: {again}")
    try:
        crc32 = about.pop("arrays_crc32")
        record = Record(**about)
        content = (folder / "arrays.npz").read_bytes()
    except (KeyError, TypeError, FileNotFoundError) as error:
        raise damaged from error
    if record.kind != kind:
        raise damaged
    if record.run != run:
        raise ConfigError(f"{folder} was fitted to another run: {again}")
    if record.step != step:
        raise ConfigError(
            f"{folder} was fitted at step {record.step}, the run is at {step}: {again}"
        )
    if zlib.crc32(content) != crc32:
        raise damaged
    try:
        like = _like(record)
    except (AssertionError, ConfigError, TypeError, ValueError) as error:
        raise damaged from error
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    if manifest.misfit(manifest.describe(found), manifest.describe(like)):
        raise damaged
    leaves = [jnp.asarray(found[name]) for name in manifest.named(like)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def checksum(workdir: pathlib.Path, kind: str, step: int) -> int | None:
    """What tells a fit of a prior from every other one of its kind.

    Args:
        workdir: folder of the run.
        kind: key of `fitted.BY_NAME`.
        step: step of the run's parameters.

    Returns:
        CRC-32 of its arrays; None if no such prior is there, or it was fitted to the
        parameters of another step.

    Raises:
        DataError: prior.json is damaged.
    """
    path = workdir / FOLDER / kind / "prior.json"
    about = read_json(path) if path.is_file() else {}
    return about.get("arrays_crc32") if about.get("step") == step else None


def _like(record: Record) -> FittedPrior:
    """Shapes of the arrays of a prior, and its static part."""
    codes = jax.ShapeDtypeStruct((1, *record.shape), jnp.float32)
    codebook = None
    if record.codebook is not None:
        codebook = jax.ShapeDtypeStruct(tuple(record.codebook), jnp.float32)

    def like(codes: Array, codebook: Array | None, key: Key) -> FittedPrior:
        draws = Draws(codes, codes, codebook)
        return fitted.BY_NAME[record.kind].like(draws, key, **record.settings)

    return jax.eval_shape(like, codes, codebook, jax.random.key(0))
