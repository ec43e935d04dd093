"""Every pairing of data, preprocessing and likelihood is refused or measured right."""

import functools
import itertools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import default
from tests.battery import FAST_COMPILE
from vae_jax import build, likelihoods, suitability
from vae_jax.data.batches import preprocessor
from vae_jax.data.dataset import Dataset, Split
from vae_jax.data.spec import ANY_DATA
from vae_jax.errors import ConfigError
from vae_jax.evaluation.latents import summarize
from vae_jax.evaluation.moments import Moments

PREPROCESSING = (
    ("binary", "8bit", "float", "real"),
    ("none", "threshold", "dynamic"),
    (False, True),
)
NUM_PIXELS = 12


def stored(levels: str) -> np.ndarray:
    """Images as a data set holds them, [40, 3, 4, 1]."""
    rng = np.random.default_rng(0)
    if levels == "real":
        return rng.normal(scale=3, size=(40, 3, 4, 1)).astype(np.float32)
    if levels == "float":
        return rng.random((40, 3, 4, 1), np.float32)
    values = rng.integers(0, 256, (40, 3, 4, 1), np.uint8)
    return values // 128 * np.uint8(255) if levels == "binary" else values


def dataset(levels: str) -> Dataset:
    splits = (Split(stored(levels)) for _ in range(3))
    found = Dataset("set", *splits, is_rows=levels == "real")
    assert found.levels == levels
    return found


def config_of(binarize: str, dequantize: bool, likelihood: str) -> ConfigDict:
    config = default.get_config()
    config.data.binarize = binarize
    config.data.dequantize = dequantize
    config.model.likelihood = likelihood
    config.data.batch_size = 10  # of 40 images
    config.eval.figures = False  # rows of real numbers can't be drawn
    return config


def refusal(config: ConfigDict, levels: str) -> str | None:
    """What the checks before training say; None if they let it pass."""
    try:
        build.check(config)
        parts = build.make_parts(config, ANY_DATA)
        suitability.check_data(config, parts, dataset(levels))
    except ConfigError as error:
        return str(error)
    return None


def values_of(x: np.ndarray) -> str:
    """The narrowest kind of value that all of x are."""
    if ((x < 0) | (x > 1)).any():
        return "any"
    if np.isin(x, (0, 1)).all():
        return "binary"
    near = np.abs(x * 255 - np.rint(x * 255)) < 1e-4
    return "8bit" if near.all() else "continuous"


# What a distribution over each support is a distribution over. A density of binary
# values would be infinite, so those have a likelihood of their own.
SUITS = {
    "binary": {"binary"},
    "8bit": {"8bit"},
    "unit": {"8bit", "continuous"},
    "real": {"8bit", "continuous", "any"},
}


def supports() -> dict[str, str]:
    """The support of each likelihood's distribution."""
    found = {}
    for name in likelihoods.BY_NAME:
        config = config_of("none", False, name)
        head = build.make_parts(config, ANY_DATA)["likelihood"]
        features = jnp.zeros((1, 3, 4, head.num_features(1)))
        initialise = functools.partial(head.init_with_output, jax.random.key(0))
        found[name] = jax.eval_shape(initialise, features)[0].support
    return found


@functools.partial(jax.jit, compiler_options=FAST_COMPILE)
def inputs(images: dict[str, Any]) -> dict[tuple[str, str, bool], Any]:
    """What the model is given in each case, all in one compiled program."""
    key = jax.random.key(0)
    return {
        (levels, binarize, noise): preprocessor(binarize, noise)(images[levels], key)
        for levels, binarize, noise in itertools.product(*PREPROCESSING)
    }


def test_all_pairings_are_refused_or_right() -> None:
    """Expected from the values themselves and from the distributions, not the names."""
    wrong, accepted = [], 0
    support_of = supports()
    sets = {levels: dataset(levels) for levels in PREPROCESSING[0]}
    drawn = inputs({levels: data.test.images for levels, data in sets.items()})
    for (levels, binarize, dequantize), values in drawn.items():
        data, x = sets[levels], np.asarray(values)
        # Noise within a level is right where the level can be read off again.
        levelled = levels == "8bit" and binarize == "none"
        if levelled and dequantize:
            np.testing.assert_array_equal(np.floor(x * 256), data.test.images)
        for likelihood, support in support_of.items():
            config = config_of(binarize, dequantize, likelihood)
            right = values_of(x) in SUITS[support] and (levelled or not dequantize)
            right &= levels != "real" or binarize == "none"  # rows are no pixels
            row = (levels, binarize, dequantize, likelihood)
            if (refusal(config, levels) is None) != right:
                wrong.append(row)
            if not right:
                continue
            accepted += 1
            if bits_of_the_uniform(config, support) != bits(support, dequantize):
                wrong.append(row)
    assert not wrong
    # binary: 3 x bernoulli; 8bit: 2 x bernoulli, 5 as they are, 3 with noise; float:
    # 2 x bernoulli, 3 as they are; real: normal and laplace.
    assert accepted == 3 + (2 + 5 + 3) + (2 + 3) + 2


def bits_of_the_uniform(config: ConfigDict, support: str) -> Any:
    """bits_per_dim of the uniform distribution, whose NLL is known."""
    log_px = {"binary": -NUM_PIXELS * np.log(2), "8bit": -NUM_PIXELS * np.log(256)}
    ones = np.ones(5)
    statistics = {
        "distortion": ones,
        "rate": ones,
        "ess": ones,
        "log_px": log_px.get(support, 0.0) * ones,
        "layers": (Moments(5, np.ones(2), np.ones(2), np.ones(2)),),
    }
    found = summarize(
        statistics,
        num_pixels=NUM_PIXELS,
        support=support,
        dequantized=config.data.dequantize,
        num_samples=1,
    )["bits_per_dim"]
    return None if found is None else round(found, 5)


def bits(support: str, dequantize: bool) -> float | None:
    """What they must be: 1 a binary pixel, 8 one of 256 levels, else not defined."""
    if support == "binary":
        return 1.0
    return 8.0 if support == "8bit" or dequantize else None


def test_what_a_refusal_says_to_set_leads_to_a_run() -> None:
    """One line each; doing what it says first, at most three times, is accepted."""
    rows = itertools.product(*PREPROCESSING, likelihoods.BY_NAME)
    for levels, binarize, dequantize, likelihood in rows:
        config = config_of(binarize, dequantize, likelihood)
        for _ in range(3):
            message = refusal(config, levels)
            if message is None:
                break
            assert "\n" not in message
            advice = re.search(r"set ((?:data|model)\.\w+)=(\w+)", message)
            assert advice, message
            value = {"True": True, "False": False}.get(advice[2], advice[2])
            config.update_from_flattened_dict({advice[1]: value})
        assert refusal(config, levels) is None, (
            levels,
            binarize,
            dequantize,
            likelihood,
        )


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_one_grey_split_makes_the_data_grey(split: str) -> None:
    """Else a binary likelihood would meet grey values after training."""
    splits = {name: Split(stored("binary")) for name in ("train", "validation", "test")}
    splits[split] = Split(stored("8bit"))
    assert Dataset("set", **splits).levels == "8bit"
    config = config_of("none", False, "bernoulli")
    assert "set data.binarize=dynamic" in (refusal(config, "8bit") or "")
