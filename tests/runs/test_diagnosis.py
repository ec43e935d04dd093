"""What a run's numbers say went wrong: one sentence each, and none about a good run."""

import json
import re

import pytest

from configs import autoencoder, cifar10, default, digits, fashion_mnist, mnist
from vae_jax.errors import DataError
from vae_jax.flat import flatten
from vae_jax.runs.diagnosis import diagnose, diagnose_grid, diagnose_run
from vae_jax.storage.records import write_json

GOOD = {  # configs/digits.py with 1,000 steps
    "elbo": -23.28,
    "rate": 4.72,
    "nll": 22.75,
    "nll_standard_error": 0.267,
    "active_units": 16,
    "outside_prior": 0.0063,
    "coverage": 0.972,
    "real_coverage": 0.994,
}
# Training and validation, as metrics.jsonl has them: many of the one, few of the other.
RECORDS = [
    {"step": 100, "train/elbo": -27.3},
    {"step": 500, "train/elbo": -24.1, "eval/elbo": -24.0},
    {"step": 1000, "train/elbo": -23.4},
    {"step": 1000, "eval/elbo": -23.4},
]


def told(results=None, records=RECORDS, levels="8bit", **fields):
    config = default.get_config()
    config.update_from_flattened_dict(
        {name.replace("__", "."): value for name, value in fields.items()}
    )
    found = diagnose(flatten(config.to_dict()), levels, GOOD | (results or {}), records)
    for sentence in found:
        assert re.fullmatch(r"[A-Z].*\.", sentence)  # whole, and on one line
        assert re.search(
            r"(hparams|train|data|model|optimizer)\.\w+", sentence
        )  # what to set
    return found


def test_steps_that_a_guard_skipped_are_counted():
    def records(*shares):
        logged = {"train/grad_norm": 1346.5}
        return [logged | {"step": 1, "train/skipped": share} for share in shares]

    (sentence,) = told(records=records(0.0, 0.5, 1.0), optimizer__skip_norm=1000.0)
    assert sentence.startswith("Skipped steps: 50% of all")
    assert "optimizer.skip_norm=1000 or not finite (at the end it was 1346)" in sentence
    unknown = {"step": 1, "train/skipped": 1.0, "train/grad_norm": None}
    (sentence,) = told(records=[unknown], optimizer__skip_norm=1000.0)
    assert "(at the end it was not finite)" in sentence
    assert not told(records=records(0.0, 0.1), optimizer__skip_norm=1000.0)


COLLAPSED = {"active_units": 0, "rate": 0.0075, "coverage": 0.77}


def test_collapse_says_how_many_dimensions_are_used():
    (sentence,) = told(COLLAPSED, hparams__kl_weight=4.0)
    assert "0 of 16 latent dimensions" in sentence
    assert "0.0075 nats" in sentence
    assert "smaller hparams.kl_weight than 4" in sentence
    few = {"active_units": 1, "rate": 0.4}
    assert "1 of 16" in told(few)[0]
    assert (
        "1 of 36"
        in told(few, model__name="hierarchical", hierarchical__latent_dims=(20,))[0]
    )
    blocks = {"model__name": "top_down", "top_down__blocks": "1x2,7x1"}
    assert f"1 of {16 * (2 + 49)} " in told(few, **blocks)[0]
    (sentence,) = told(COLLAPSED, objective__name="capacity")
    assert "larger hparams.capacity than 0" in sentence
    assert "free_nats above 0" in told(COLLAPSED)[0]
    critic = {"objective__name": "factor", "hparams__tc_weight": 35.0}
    (sentence,) = told(COLLAPSED, **critic)
    assert "kl_weight than 1 or hparams.tc_weight than 35, a warm-up" in sentence
    assert "free_nats" not in sentence  # which factor does not read


def test_layers_that_equal_their_prior_are_named():
    rates = {f"rate_layer{n}": rate for n, rate in enumerate([18.6, 0.0, 0.02, 2.5], 1)}
    ladder = {"model__name": "ladder"}
    (sentence,) = told(rates, **ladder)
    assert "of 4 latent layers, counted from the data upwards, layers 2 and 3 tell" in (
        sentence
    )
    assert "warmup_steps), or hparams.free_nats_per_layer above 0, or fewer" in sentence
    (sentence,) = told(rates, **ladder, objective__schedule="linear")
    assert "nats about its image; try hparams.free_nats_per_layer above 0" in sentence
    (sentence,) = told(rates | {"rate_layer2": 0.4}, objective__name="iwae")
    assert "upwards, layer 3 tells less than 0.1 nats" in sentence
    assert "free_nats" not in sentence  # which iwae does not read
    assert told({"rate_layer1": 18.6, "rate_layer2": 0.4}) == []
    unused = {"rate_layer1": 0.01, "rate_layer2": 1.8}
    of_m2 = {"model__name": "m2", "objective__name": "semi_supervised"}
    (sentence,) = told(unused, **of_m2)
    assert "layer 1 tells less than 0.1 nats about its image; try a warm-up" in sentence
    assert "fewer layers" not in sentence  # it has two
    assert told(unused, **of_m2, objective__schedule="linear") == []
    (sentence,) = told(COLLAPSED | {"rate_layer1": 0.007, "rate_layer2": 0.0005})
    assert sentence.startswith("Posterior collapse")  # which says it all


@pytest.mark.parametrize(
    "results",
    [
        {"active_units": 1, "rate": 5.0},  # one dimension may be all there is
        {"active_units": 11, "rate": 0.9},  # little in many
        {"active_units": None, "rate": 0.5},  # of one test image nothing is known
        {"active_units": 0, "rate": None, "nll": None},  # an autoencoder has no KL
    ],
)
def test_few_dimensions_alone_are_no_collapse(results):
    assert told(results) == []


def test_weight_0_shows_what_it_costs():
    results = {"rate": 196.5, "outside_prior": 1.0, "coverage": 0.111}
    (sentence,) = told(results, hparams__kl_weight=0.0)
    assert "hparams.kl_weight=0 " in sentence
    assert "100% of them lie outside" in sentence
    assert "cover 11% of the test images (real images: 99%)" in sentence
    unmeasured = {"rate": 196.5, "outside_prior": None, "coverage": None}
    assert (
        "the codes cost 196.5 nats; this" in told(unmeasured, hparams__kl_weight=0.0)[0]
    )
    autoencoder = {"rate": None, "nll": None}
    assert told(autoencoder, hparams__kl_weight=0.0) == []
    assert told(hparams__kl_weight=0.0, objective__name="capacity") == []
    info = {"objective__name": "mmd", "hparams__mmd_weight": 100.0}
    assert told(hparams__kl_weight=0.0, **info) == []


def with_gap(gap, best=-23.5):
    last = {"step": 3000, "train/elbo": -20.0, "eval/elbo": -20.0 - gap}
    return [{"step": 2000, "eval/elbo": best}, last]


def test_overfitting_is_a_gap_that_is_much_beside_the_rate():
    (sentence,) = told(records=with_gap(6.5))
    assert "-26.5 nats, lies 6.5 nats below that of training, -20" in sentence
    assert "best, -23.5, at step 2000" in sentence
    assert told(records=with_gap(6.5), results={"rate": 20.0}) == []
    assert told(records=with_gap(2.3)) == []
    assert told(records=with_gap(6.5), results={"nll_standard_error": 3.0}) == []
    assert told(records=with_gap(6.5), results={"nll_standard_error": None})
    assert told(records=with_gap(-6.5)) == []
    assert told(records=with_gap(6.5, best=-30.0)) == []  # it still rises
    assert told(records=with_gap(6.5)[1:]) == []


def test_what_came_after_the_parameters_that_were_kept_is_left_out():
    records = [
        {"step": 500, "train/elbo": -24.1, "eval/elbo": -24.0},
        {"step": 1000, "train/elbo": -20.0, "eval/elbo": -60.0},
    ]
    assert told(records=records)
    kept = {"step": 500, "trained_steps": 1000}
    assert not told(kept, records=records)


def test_overfitting_needs_both_curves():
    for records in (
        [],
        [{"step": 1, "train/elbo": -1.0}],
        [{"step": 1, "eval/elbo": 9}],
    ):
        assert told(records=records, results={"rate": 0.1, "active_units": 16}) == []
    gone = [*with_gap(6.5), {"step": 4000, "train/elbo": None}]  # was not finite
    assert told(records=gone)


def test_a_density_of_levels_is_named():
    grey = {"data__binarize": "none"}
    for likelihood in ("normal", "laplace", "continuous_bernoulli"):
        density = {**grey, "model__likelihood": likelihood}
        (sentence,) = told({"nll": -142.3}, **density)
        assert "NLL of -142.3 nats" in sentence
        assert f"model.likelihood={likelihood}" in sentence
        assert "data.dequantize=True" in sentence
        assert told(**density, data__dequantize=True) == []
        assert told(**density, levels="float") == []
        assert told({"nll": None}, **density) == []
    assert told(**grey, model__likelihood="logistic") == []
    assert told() == []  # binarised
    assert told(**grey, levels="binary") == []


PUBLISHED = {  # docs/results.md, and the standard errors of its text
    "mnist": (mnist, -100.50, 26.97, 95.78, 0.25, 20, 0.48, 0.96),
    "autoencoder": (autoencoder, None, None, None, None, 20, 0.13, 0.96),
    "fashion_mnist": (fashion_mnist, -237.11, 15.43, 234.49, 0.76, 11, 0.86, 0.98),
    "cifar10": (cifar10, -14464.0, 159.4, 14386.0, 29.0, 64, 0.01, 0.97),
    "digits": (digits, -22.72, 5.35, 22.2, 0.26, 15, 0.967, 0.994),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_shipped_configs_are_healthy(name):
    module, *numbers = PUBLISHED[name]
    keys = ("elbo", "rate", "nll", "nll_standard_error", "active_units")
    results = dict(zip((*keys, "coverage", "real_coverage"), numbers, strict=True))
    config = flatten(module.get_config().to_dict())
    assert diagnose(config, "8bit", results, []) == []


def test_a_finished_run_is_read_from_its_files(tmp_path):
    config = default.get_config()
    config.hparams.kl_weight = 4.0
    for name, content in {
        "config.json": config.to_dict(),
        "data.json": {"levels": "8bit"},
        "results.json": GOOD | COLLAPSED,
        "metrics.jsonl": RECORDS[0],
    }.items():
        (tmp_path / name).write_text(json.dumps(content))
    (sentence,) = diagnose_run(tmp_path)
    assert sentence.startswith("Posterior collapse: 0 of 16")


@pytest.mark.parametrize("file", ["data.json", "results.json"])
def test_a_missing_entry_is_one_line(tmp_path, file):
    for name in ("config.json", "data.json", "results.json"):
        content = {} if name == file else {"levels": 1.0, "rate": 1.0}
        write_json(tmp_path / name, content)
    with pytest.raises(DataError, match="its JSON files have no entry '"):
        diagnose_run(tmp_path)


def test_a_trouble_of_several_seeds_is_told_once(tmp_path):
    config = flatten(default.get_config().to_dict())
    rows = []
    for weight, seed in [(0.0, 0), (0.0, 1), (1.0, 0), (1.0, 1)]:
        name = f"kl_weight={weight:g},seed={seed}"
        rows.append({"name": name, "hparams.kl_weight": weight, "seed": seed})
        if (weight, seed) == (1.0, 1):
            rows[-1]["failed_at_step"] = 70
            continue
        folder = tmp_path / "members" / name
        folder.mkdir(parents=True)
        own = config | {"hparams.kl_weight": weight, "seed": seed}
        write_json(folder / "config.json", own)
        write_json(folder / "data.json", {"levels": "8bit"})
        write_json(folder / "results.json", GOOD | {"rate": 5.0 + seed})
    (line,) = diagnose_grid(tmp_path, rows, ["hparams.kl_weight"])
    start = "kl_weight=0,seed=0 and 1 more: With hparams.kl_weight=0 nothing ties"
    assert line.startswith(start)
    assert "cost 5 nats" in line
