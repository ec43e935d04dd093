"""A run in a workdir: train, resume, refuse, open again."""

import errno
import json
import os
import random
import signal
import time

import jax
import numpy as np
import pytest

from configs import (
    autoencoder,
    binarized_mnist,
    cifar10,
    fashion_mnist,
    mnist,
    photos,
    rae,
)
from configs.discrete import fsq, lfq, vq
from configs.disentanglement import dsprites, xysquares
from configs.iwae import cpu, one_layer, two_layers
from configs.ladder import bottom_up, five_layers
from configs.top_down import small
from configs.vampprior import standard, vamp
from tests.forked_programs import Program, run_program
from tests.runs_helpers import flags, sigterm_after, small_config
from vae_jax import likelihoods
from vae_jax.data import sources
from vae_jax.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    NonFiniteLossError,
    StorageError,
)
from vae_jax.runs import grid, members, opened, single
from vae_jax.storage import lock
from vae_jax.storage.records import read_json, read_metrics, write_json

TIMES = ("train_seconds", "images_per_second")


def same_outcome(a, b):
    """Asserts the same results and, bit for bit, the same parameters."""
    left, right = read_json(a / "results.json"), read_json(b / "results.json")
    for name in TIMES:
        left.pop(name), right.pop(name)
    assert left == right
    params = [jax.tree.leaves(opened.open_run(run).params) for run in (a, b)]
    for one, other in zip(*params, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def quick_compile():
    """Unoptimised programs take half the time to make; for those that hardly run."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("trained")
    single.train(small_config(), workdir)
    return workdir


def test_leaves_what_the_docs_say(trained):
    results = read_json(trained / "results.json")
    assert results["step"] == 40
    assert results["elbo"] == pytest.approx(-(results["rate"] + results["distortion"]))
    assert -results["nll"] > results["elbo"]
    records = read_metrics(trained / "metrics.jsonl")
    assert [r["step"] for r in records if "train/elbo" in r] == [10, 20, 30, 40]
    assert [r["step"] for r in records if "eval/elbo" in r] == [20, 40]
    assert read_json(trained / "config.json")["model"]["latent_dim"] == 3
    assert list((trained / "tensorboard").iterdir())


def test_training_lowers_the_loss(tmp_path):
    single.train(small_config(**{"train.num_steps": 300}), tmp_path)
    losses = [
        record["train/loss"]
        for record in read_metrics(tmp_path / "metrics.jsonl")
        if "train/loss" in record
    ]
    assert losses[-1] < 0.75 * losses[0]


def test_finished_run_is_left_alone(trained):
    before = {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in trained.rglob("*")
        if path.is_file()
    }
    single.train(small_config(), trained)
    after = {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in trained.rglob("*")
        if path.is_file()
    }
    assert before == after


def test_other_config_is_refused_by_field(trained):
    with pytest.raises(ConfigError, match=r"hparams\.kl_weight \(1\.0 there, 2\.0"):
        single.train(small_config(**{"hparams.kl_weight": 2.0}), trained)


def test_chunks_do_not_matter(trained, tmp_path):
    # log_every only cuts the same 40 steps into other chunks.
    single.train(small_config(**{"train.log_every": 7}), tmp_path)
    same_outcome(trained, tmp_path)


@pytest.mark.parametrize(
    ("num_chunks", "most", "step"), [(2, 10, 20), (2, 4, 8), (5, 4, 18)]
)
def test_sigterm_saves_and_resumes(trained, tmp_path, num_chunks, most, step):
    """At a report or between two, whose metrics go on from there."""
    with sigterm_after(num_chunks, most):
        single.train(small_config(), tmp_path)
    assert not (tmp_path / "results.json").exists()
    assert (tmp_path / "checkpoints" / str(step)).exists()
    single.train(small_config(), tmp_path)
    same_outcome(trained, tmp_path)
    one, other = (read_metrics(run / "metrics.jsonl") for run in (trained, tmp_path))
    assert one == other


@pytest.mark.slow
def test_a_codebook_is_resumed_with_the_run(tmp_path):
    """It is kept beside the parameters; the rate is the length of the code."""
    config = small_config(
        **{
            "model.posterior": "vq",
            "model.prior": "uniform",
            "vq.num_codes": 8,
            "vq.num_sites": 4,
            "objective.name": "quantized",
            "hparams.commitment_weight": 0.25,
            "eval.measures": ("likelihood", "codebook"),
        }
    )
    results = single.train(config, tmp_path / "a")
    with sigterm_after(2):
        single.train(config, tmp_path / "b")
    single.train(config, tmp_path / "b")
    same_outcome(tmp_path / "a", tmp_path / "b")
    states = [opened.open_run(tmp_path / n).trained.model_state for n in "ab"]
    jax.tree.map(np.testing.assert_array_equal, *states)
    assert results["rate"] == pytest.approx(4 * np.log(8))
    assert results["nll"] == pytest.approx(-results["elbo"])
    assert results["code_usage"] > 0.5


def test_damaged_newest_checkpoint_falls_back(trained, tmp_path, caplog):
    single.train(small_config(), tmp_path)
    (tmp_path / "results.json").unlink()
    newest = tmp_path / "checkpoints" / "40"
    largest = max(newest.rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    data = bytearray(largest.read_bytes())
    for i in range(0, len(data), 100):  # a single bit may lie where nothing is stored
        data[i] ^= 1
    largest.write_bytes(data)
    with caplog.at_level("WARNING"):
        single.train(small_config(), tmp_path)
    warnings = [record.message for record in caplog.records if record.name == "absl"]
    assert sum("is damaged" in message for message in warnings) == 1
    same_outcome(trained, tmp_path)


def test_nan_loss_stops_and_keeps_the_checkpoint(tmp_path):
    config = small_config(**{"optimizer.name": "sgd", "hparams.learning_rate": 1e30})
    with pytest.raises(NonFiniteLossError, match=r"at step [1-9]"):
        single.train(config, tmp_path)
    assert not (tmp_path / "results.json").exists()
    with pytest.raises(CheckpointError):
        opened.open_run(tmp_path)


def test_a_full_disk_at_the_metrics_leaves_no_gap(trained, tmp_path, monkeypatch):
    """One error, and what a checkpoint stands for is in metrics.jsonl, too."""
    original, lines = os.fsync, []

    def fsync(descriptor):
        """Has no room for the metrics of the second checkpoint."""
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("metrics.jsonl"):
            lines.append(1)
            if len(lines) >= 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        original(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(StorageError, match="metrics.jsonl can't be .* No space"):
            single.train(small_config(), tmp_path)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["20"]
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 40, "tra')  # as much as there was room for
    single.train(small_config(), tmp_path)
    same_outcome(trained, tmp_path)
    metrics = "metrics.jsonl"
    assert (tmp_path / metrics).read_bytes() == (trained / metrics).read_bytes()


def test_a_second_program_is_refused(trained, tmp_path):
    """In the workdir of a run, of a grid, and of a member of one."""
    config, sweep = small_config(), ["hparams.kl_weight=1,2"]
    with (
        lock.held(tmp_path),
        pytest.raises(ConfigError, match=r"another program \(pid"),
    ):
        single.train(config, tmp_path)
    with (
        lock.held(tmp_path),
        pytest.raises(ConfigError, match=r"another program \(pid"),
    ):
        grid.train_grid(config, tmp_path, sweep, 1)
    assert list(tmp_path.iterdir()) == []
    write_json(tmp_path / "grid.json", {})
    member = members.folder(tmp_path, "kl_weight=1,seed=0")
    with (
        lock.held(tmp_path),
        pytest.raises(ConfigError, match=r"another program \(pid"),
    ):
        single.train(config, member)


def test_changed_data_are_refused(tmp_path):
    def write(seed):
        images = np.random.default_rng(seed).integers(0, 256, (60, 6, 5), np.uint8)
        np.savez(tmp_path / "set.npz", x_train=images)

    config = small_config(**{"data.name": f"npz:{tmp_path / 'set.npz'}"})
    write(0)
    single.train(config, tmp_path / "run")
    write(1)
    with pytest.raises(DataError, match="fingerprint"):
        opened.open_run(tmp_path / "run").dataset()


@pytest.mark.usefixtures("quick_compile")
@pytest.mark.parametrize(
    "config",
    [
        mnist,
        fashion_mnist,
        binarized_mnist,
        autoencoder,
        rae,
        cifar10,
        photos,
        one_layer,
        two_layers,
        cpu,
        standard,
        vamp,
        fsq,
        vq,
        lfq,
        five_layers,
        bottom_up,
        small,
        dsprites,
        xysquares,
    ],
)
def test_every_config_takes_steps(config, tmp_path):
    """Each config, shrunk, on made-up images of its own kind."""
    original = config.get_config()
    colour = original.data.name in ("cifar10", "folder:photos")
    shape = (32, 32, 3) if colour else (28, 28)
    images = np.random.default_rng(0).integers(0, 256, (60, *shape), np.uint8)
    if original.data.name == "binarized_mnist":
        images = images // 128
    np.savez(tmp_path / "set.npz", x_train=images)
    fields = {
        "data.name": f"npz:{tmp_path / 'set.npz'}",
        "data.validation_fraction": 0.1,
        "data.image_size": 0,
        "vamp.num_components": 5,
        "hparams.warmup_steps": min(original.hparams.warmup_steps, 20),
    }
    if sources.find(original.data.name).render is not None:
        few = {"data.validation_fraction": 2e-4, "data.test_fraction": 2e-4}
        fields |= {"data.name": original.data.name, **few}
    own = small_config(original, **fields)
    results = single.train(own, tmp_path / "run")
    assert np.isfinite(results["distortion"])
    assert (results["nll"] is None) == (own.model.posterior == "deterministic")


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compile")
def test_all_likelihoods_and_shapes(tmp_path):
    """The battery has each of them with each network; here it is the whole way."""
    images = np.random.default_rng(0).integers(0, 256, (60, 20, 28), np.uint8)
    np.savez(tmp_path / "set.npz", x_train=images)
    for likelihood in likelihoods.BY_NAME:
        own = small_config(
            **{
                "data.name": f"npz:{tmp_path / 'set.npz'}",
                "data.binarize": "dynamic" if likelihood == "bernoulli" else "none",
                "model.likelihood": likelihood,
                "model.network": "conv" if likelihood == "laplace" else "mlp",
                "logistic_mixture.num_components": 2,
                "train.eval_every": 0,
            }
        )
        results = single.train(own, tmp_path / likelihood)
        assert np.isfinite(results["nll"])
        run = opened.open_run(tmp_path / likelihood)
        drawn = run.draws(jax.random.key(0), 3)
        assert drawn["draw"].shape == (3, 20, 28, 1)


@pytest.mark.slow
def test_kill_twice_equals_straight(tmp_path):
    """kill -9 at random moments; the outcome is bit for bit that of a straight run."""
    steps = {"train.num_steps": 2400, "train.checkpoint_every": 100}
    arguments = ["--config=configs/digits.py", *flags(**steps)]
    status, _, err = run_program("train", *arguments, f"--workdir={tmp_path / 'a'}")
    assert status == 0, err
    rng = random.Random(0)
    for _ in range(2):
        process = Program("train", *arguments, f"--workdir={tmp_path / 'b'}")
        metrics = tmp_path / "b" / "checkpoints"
        known = set(metrics.iterdir()) if metrics.exists() else set()
        deadline = time.monotonic() + 120
        while not (metrics.exists() and set(metrics.iterdir()) - known):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it was over before the kill"
    status, _, err = run_program("train", *arguments, f"--workdir={tmp_path / 'b'}")
    assert status == 0, err
    assert "resuming from step" in err
    same_outcome(tmp_path / "a", tmp_path / "b")
    steps = [
        json.loads(line)["step"]
        for line in (tmp_path / "b" / "metrics.jsonl").read_text().splitlines()
        if "train/loss" in line
    ]
    assert steps == sorted(set(steps))
