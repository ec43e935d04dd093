"""What an explorer's page is made of, for every kind of decoder, and refuses."""

import json
import logging
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.forked_programs import run_program
from tests.runs_helpers import flags, small_config
from vae_jax import build
from vae_jax.data.examples import abstract_x, inputs
from vae_jax.errors import ConfigError
from vae_jax.runs import exploration, explored, identity, moved_layer, opened, single
from vae_jax.runs.explored import explore_run, lattice_sizes
from vae_jax.runs.finished import FinishedRuns
from vae_jax.runs.moved_layer import small_size
from vae_jax.runs.run_data import split_of
from vae_jax.storage.records import write_json
from vae_jax.trained import image_likelihood

LABELS = (10, 20, 30)
NUM = 12  # held-out images that are shown


def write(path, shape=(8, 8), seed=0):
    """An npz file of images that are as bright as their label is large."""
    numbers = np.random.default_rng(seed)
    arrays = {}
    for split, num in (("train", 90), ("validation", 30), ("test", 30)):
        label = np.resize(LABELS, num)
        noise = numbers.integers(0, 40, (num, *shape))
        shade = 6 * label.reshape(-1, *[1] * len(shape))
        arrays |= {f"x_{split}": np.uint8(shade + noise), f"y_{split}": label}
    np.savez(path, **arrays)
    return path


def config_of(path, **fields):
    usual = {"data.name": f"npz:{path}", "train.num_steps": 4, "train.eval_every": 0}
    return small_config(**{**usual, "train.checkpoint_every": 4, **fields})


def untrained(config, folder) -> opened.Run:
    """A run at its initial parameters, whose workdir only says what its data are."""
    dataset = build.make_dataset(config)
    parts = build.make_parts(config, dataset.spec)
    given = inputs(parts["model"])
    described = identity.describe(dataset, given)
    identity.claim(folder, config, described, identity.Standing(True))
    shapes = abstract_x(dataset.spec, given, 2)
    x = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    trainer = build.make_trainer(config, parts)
    state = jax.jit(trainer.init)(build.run_key(config), x)
    return opened.Run(folder, config, dataset.spec, 0, state.eval_variables, {})


KINDS = {
    "mixture": {"model.prior": "mixture"},
    "autoencoder": {"model.posterior": "deterministic", "model.latent_dim": 5},
    "conv": {"model.network": "conv", "model.latent_dim": 1},
    "conditional": {"model.condition": "label", "model.prior": "label_normal"},
    "m2": {"model.name": "m2", "objective.name": "semi_supervised"},
    "ladder": {"model.name": "ladder", "ladder.latent_dims": (4,)},
    "top_down": {"model.name": "top_down", "top_down.blocks": "1x2"},
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "set.npz")


def decoded_by_hand(trained, kind, x, moved, values, label):
    """The image of one code: mean codes, but for some dimensions of the moved layer."""
    latent = trained.encode(x, jax.random.key(0))[-2 if kind == "m2" else -1]
    means = latent.posterior.mean.reshape(NUM, -1)
    z = means.mean(axis=0).at[moved].set(values).reshape(1, *latent.z.shape[1:])
    given = jnp.array([label]) if kind == "conditional" else None
    if kind == "m2":
        codes = (z, jax.nn.one_hot(jnp.array([label]), 3))
    else:  # at temperature 0 the layers below are at the mean of their prior
        codes = trained.prior(1, given).sample(jax.random.key(3), 0.0, above=(z,))
    return image_likelihood(trained.decode(codes, given)).mean[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_node_of_the_lattice_is_its_decoded_code(kind, images, tmp_path, monkeypatch):
    monkeypatch.setattr(moved_layer, "CHUNK", NUM)  # one shape, one compiled program
    config = config_of(images, **KINDS[kind])
    run = untrained(config, tmp_path)
    dataset = build.make_dataset(config)
    rows = np.arange(NUM)
    found = explore_run(run, dataset, rows, most_images=300)
    size = 4 if kind == "ladder" else config.model.latent_dim
    names = [axis.name for axis in found.axes if axis.name]
    assert found.others == size - len(names)
    shape = tuple(len(axis.values) for axis in found.axes)
    assert found.lattice.shape[1:] == (*shape, 8, 8, 1)
    assert found.decoded.shape == (NUM, 8, 8, 1)
    assert found.means.shape == found.variances.shape == (NUM, len(found.axes))
    assert found.has_standard_prior == (kind != "mixture")
    is_given = kind in ("conditional", "m2")
    assert found.labels == (["10", "20", "30"] if is_given else [])
    if kind == "conditional":
        assert list(found.given) == [0, 1, 2] * (NUM // 3)

    label, node = len(found.lattice) - 1, tuple(number // 2 for number in shape)
    moved = [int(re.search(r"\[(\d+)\]", name)[1]) for name in names]
    pairs = zip(found.axes[: len(names)], node, strict=False)
    values = [axis.values[i] for axis, i in pairs]
    x = split_of(config, dataset, run.inputs, "test").x(rows)
    by_hand = jax.jit(decoded_by_hand, static_argnames=("kind", "label"))
    wanted = by_hand(run.trained, kind, x, jnp.array(moved), jnp.array(values), label)
    np.testing.assert_allclose(found.lattice[(label, *node)], wanted, atol=1e-5)


def test_the_dimensions_of_most_rate_are_moved(images, tmp_path, monkeypatch):
    config = config_of(images, **{"model.latent_dim": 6})
    run = untrained(config, tmp_path)
    dataset = build.make_dataset(config)
    encode = explored.MovedLayer.encode

    def with_rates(self, split, rows):
        rates = np.array([0.5, 0.0, 3.0, 0.2, 2.0, 0.001])
        return encode(self, split, rows) | {"kl": np.tile(rates, (NUM, 1))}

    monkeypatch.setattr(explored.MovedLayer, "encode", with_rates)
    found = explore_run(run, dataset, np.arange(NUM), most_images=10_000)
    assert [axis.name for axis in found.axes] == ["z[2]", "z[4]", "z[0]", "z[3]"]
    assert [axis.rate for axis in found.axes] == pytest.approx([3.0, 2.0, 0.5, 0.2])
    # On the map a unit is as long in both directions, so that a circle is one.
    widths = [np.ptp(axis.values) for axis in found.axes[:2]]
    assert widths[0] == pytest.approx(widths[1])
    assert all(a.values[0] < -3 and a.values[-1] > 3 for a in found.axes)


def test_discrete_codes_are_refused(images, tmp_path):
    codes = {"model.posterior": "fsq", "model.prior": "uniform"}
    config = config_of(images, **codes)
    run = untrained(config, tmp_path)
    x = split_of(config, build.make_dataset(config), run.inputs, "test").x(np.arange(2))
    with pytest.raises(ConfigError, match="--workdir=runs/a: .* codes .* are discrete"):
        moved_layer.MovedLayer.of(run.trained, x, "runs/a")


def test_sizes_of_a_lattice():
    assert lattice_sizes(1, 5000) == (112,)
    assert lattice_sizes(2, 5000) == (28, 28)
    assert lattice_sizes(3, 2500) == (22, 22, 5)
    assert lattice_sizes(64, 5000) == (10, 10, 5, 5)
    assert lattice_sizes(64, 1000) == (14, 14, 5)  # a slider less, not a coarse map
    assert lattice_sizes(64, 100) == (10, 10)
    with pytest.raises(ConfigError, match="8 decoded images.* choose fewer runs"):
        lattice_sizes(2, 8)
    assert small_size(28, 28) == (28, 28)
    assert small_size(300, 150) == (64, 32)


def test_names_tell_runs_apart():
    def runs(*configs):
        folders = [pathlib.Path(f"runs/{i}") for i in range(len(configs))]
        fields = ("model.posterior", "hparams.kl_weight", "model.latent_dim")
        swept = [f for f in fields if len({c.get(f) for c in configs}) > 1]
        found = FinishedRuns((), (), folders, configs, swept, {})
        return exploration.run_names(found)

    def config(weight, posterior="normal", seed=0):
        return {
            "hparams.kl_weight": weight,
            "model.posterior": posterior,
            "seed": seed,
        }

    plain = config(1.0, "deterministic")
    assert runs(plain, config(0.0), config(20.0)) == [
        "autoencoder",
        "kl_weight 0",
        "kl_weight 20",
    ]
    assert runs(config(1.0), config(1.0, "flow")) == [
        "posterior normal",
        "posterior flow",
    ]
    assert runs(config(1.0), config(2.0, seed=1)) == [
        "kl_weight 1, seed 0",
        "kl_weight 2, seed 1",
    ]
    assert runs(config(1.0)) == ["0"]  # the name of its folder


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """Finished runs: two on the same images, and what looks like one on others."""
    folder = tmp_path_factory.mktemp("runs")
    other = write(folder / "other.npz", seed=1)
    single.train(config_of(images), folder / "one")
    single.train(config_of(images, **{"hparams.kl_weight": 4.0}), folder / "four")
    untrained(config_of(other), folder / "other")
    write_json(folder / "other" / "results.json", {})
    return folder


@pytest.mark.slow
def test_a_page_of_two_runs(folder, tmp_path):
    status, out, err = run_program(
        "explore",
        f"--workdir={folder}/one",
        f"--workdir={folder}/four",
        f"--out={tmp_path}/new/page.html",
    )
    assert status == 0, err
    page = tmp_path / "new" / "page.html"
    assert re.fullmatch(rf"explorer of 2 runs, 0\.\d MB: {page}\n", out)
    found = re.search(r'id="content">(.*?)</script>', page.read_text("utf-8"))
    content = json.loads(found[1])
    assert [run["name"] for run in content["runs"]] == ["kl_weight 1", "kl_weight 4"]
    assert [name for name, _ in content["runs"][0]["numbers"]][0] == "ELBO"
    assert [one["name"] for one in content["heldout"]["classes"]] == ["10", "20", "30"]
    assert "<title>one, four</title>" in page.read_text("utf-8")


@pytest.mark.slow
def test_what_is_refused_in_one_line(folder, tmp_path):
    out = tmp_path / "page.html"

    def explore(*names):
        exploration.explore([folder / name for name in names], out, title="t")

    with pytest.raises(ConfigError, match=r"other was trained on other images \(npz:"):
        explore("one", "other")
    with pytest.raises(ConfigError, match="given 2 times"):
        explore("one", "one")
    with pytest.raises(ConfigError, match="holds no run"):
        explore("none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exploration, "MOST_RUNS", 1)
        with pytest.raises(ConfigError, match="2 runs, and a page holds 1 at most"):
            explore("one", "four")
        layers = identity.read_data(folder / "one") | {"image_shape": [8, 8, 2]}
        patch.setattr(exploration.identity, "read_data", lambda folder: layers)
        with pytest.raises(ConfigError, match="have 2 channels, and pictures 1 or 3"):
            explore("one")
    assert not out.exists()
    # A grid that can't be explored is told so in its log, and has its report.
    exploration.explore_grid([folder / "one", folder / "other"], out, "t")
    exploration.explore_grid([folder / "unfinished"], out, "t")
    assert not out.exists()
    exploration.explore_grid([folder / "one"], out, "t")
    assert out.exists()


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    status, out, err = run_program("explore", f"--workdir={tmp_path}/typo")
    assert (status, out) == (1, "")
    assert err == f"error: {tmp_path}/typo holds no run (there is no config.json)\n"
    assert list(tmp_path.iterdir()) == []


def test_a_grid_without_checkpoints_or_data_has_no_page(tmp_path, monkeypatch, caplog):
    """And goes on to its report."""
    run = untrained(config_of(write(tmp_path / "gone.npz")), tmp_path / "one")
    write_json(run.workdir / "results.json", {})
    (tmp_path / "gone.npz").unlink()
    with caplog.at_level(logging.INFO, logger="absl"):
        exploration.explore_grid([run.workdir], tmp_path / "page.html", "t")
        monkeypatch.setattr(exploration, "open_run", lambda folder: run)
        exploration.explore_grid([run.workdir], tmp_path / "page.html", "t")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and all("no explorer of the latent" in one for one in said)
    assert "no checkpoint yet" in said[0] and "there is no file" in said[1]


@pytest.mark.slow
def test_a_grid_has_its_page_beside_its_report(tmp_path):
    status, _, err = run_program(
        "ablate",
        "--config=configs/digits.py",
        f"--workdir={tmp_path}/grid",
        "--sweep=hparams.kl_weight=0,1",
        *flags(**{"train.num_steps": 2, "eval.figures": True}),
    )
    assert status == 0, err
    page = (tmp_path / "grid" / "explorer.html").read_text("utf-8")
    content = json.loads(re.search(r'id="content">(.*?)</script>', page)[1])
    assert [run["name"] for run in content["runs"]] == ["kl_weight 0", "kl_weight 1"]
    report = (tmp_path / "grid" / "report.html").read_text("utf-8")
    assert '<a href="explorer.html">' in report
