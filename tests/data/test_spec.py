"""The form of a data set: found in its arrays, and kept in a file."""

import json

import numpy as np
import pytest

from vae_jax.data.dataset import Dataset, Split
from vae_jax.data.spec import DataSpec
from vae_jax.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 4, 3, 1), np.uint8)
FACTORS = np.stack([np.arange(60) % 3, np.arange(60) // 12], axis=1)


def dataset(labels=None, factors=None) -> Dataset:
    """Splits of 40, 10 and 10 images."""
    cuts = slice(40), slice(40, 50), slice(50, 60)
    return Dataset(
        "made",
        *(
            Split(
                IMAGES[cut],
                None if labels is None else labels[cut],
                factors=None if factors is None else factors[cut],
            )
            for cut in cuts
        ),
    )


def test_a_spec_holds_what_a_model_is_built_from():
    assert dataset().spec == DataSpec((4, 3, 1), "8bit", 40)
    labels = 2015 + np.arange(60) % 4
    assert dataset(labels, FACTORS).spec == DataSpec((4, 3, 1), "8bit", 40, 4, (3, 5))


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(60),  # ids
        np.full(60, 7),
        np.full(60, -1),
        np.where(np.arange(60) < 50, np.arange(60) % 4, -1),  # none to test with
    ],
)
def test_labels_that_are_no_classes_are_none_of_the_spec(labels):
    assert dataset(labels).spec.num_classes is None


def test_a_spec_comes_back_from_json():
    for spec in (
        DataSpec((4, 3, 1), "binary", 40),
        DataSpec((4, 3, 1), "float", 40, 4, (3, 5)),
        DataSpec((4, 3, 1), "float", 40, 4, (3, 5), ("turn", "place")),
        DataSpec((1, 3, 1), "real", 40),
    ):
        text = json.dumps({"name": "made", **spec.to_json(), "num_test": 10})
        assert DataSpec.from_json(json.loads(text)) == spec


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("image_shape", None, "image_shape is None; it must be three whole numbers"),
        ("image_shape", [8, 8], "three whole numbers above 0"),
        ("image_shape", [8, "8", 1], "three whole numbers above 0"),
        ("image_shape", {"a": 8}, "three whole numbers above 0"),
        (
            "levels",
            "grey",
            "levels is 'grey'; it must be one of binary, 8bit, float, real",
        ),
        ("levels", ["8bit"], "must be one of binary"),
        ("num_train", 0, "num_train is 0; it must be a whole number above 0"),
        ("num_train", True, "num_train is True"),
        (
            "num_classes",
            4.0,
            "num_classes is 4.0; it must be a whole number above 0",
        ),
        ("factor_sizes", [], "factor_sizes is []; it must be a list of"),
        ("factor_sizes", [3, 0], "must be a list of whole numbers above 0, or null"),
        ("factor_names", ["a", 1], "factor_names is ['a', 1]; it must be a list of"),
    ],
)
def test_a_changed_file_is_one_line(field, value, message):
    content = DataSpec((4, 3, 1), "8bit", 40).to_json()
    with pytest.raises(DataError) as error:
        DataSpec.from_json({**content, field: value})
    assert message in str(error.value)


def test_a_file_from_before_factors_had_names_reads_as_one_without():
    spec = DataSpec((4, 3, 1), "8bit", 40, 4, (3, 5))
    content = spec.to_json()
    assert "factor_names" not in content  # so the digests of older runs stay
    assert DataSpec.from_json(content) == spec


def test_a_file_of_another_version_says_so():
    content = DataSpec((4, 3, 1), "8bit", 40).to_json()
    del content["num_classes"]
    with pytest.raises(DataError, match="no num_classes; another version of vae_jax"):
        DataSpec.from_json(content)
