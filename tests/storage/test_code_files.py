"""Files of codes: what is written is read again, and other programs can read it."""

import numpy as np
import pytest

from vae_jax.errors import ConfigError, DataError
from vae_jax.storage import code_files
from vae_jax.storage.code_files import columns, read_codes, write_codes

NAMES = ["a, b.png", 'quo"te.png', "plain.png", "two\nlines.png"]


@pytest.fixture
def codes():
    """Everything that may be known of four images."""
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(4, 11)).astype(np.float32)
    mean[0, 0], mean[1, 1] = 1e-38, np.float32(1) / 3
    return {
        "mean": mean,
        "std": np.exp(mean),
        "rows": np.array([3, 1, 4, 15]),
        "labels": np.array([1, -1, 0, 1], np.int32),
        "factors": np.array([[0, 5], [1, 4], [2, 3], [3, 2]]),
        "factor_names": np.array(["shape", "size"]),
        "files": np.array(NAMES),
        "class_names": np.array(["cat", "owl"]),
    }


@pytest.mark.parametrize("suffix", code_files.FORMATS)
def test_what_is_written_is_read_again(codes, tmp_path, suffix):
    """Bit for bit, also as text."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"codes{suffix}"
    write_codes(path, codes)
    found = read_codes(path)
    assert found.keys() == {"mean", "rows", "labels", "files"}
    for name, values in found.items():
        np.testing.assert_array_equal(values, codes[name])
    assert found["mean"].dtype == np.float32
    write_codes(path, {"mean": codes["mean"]})
    assert read_codes(path).keys() == {"mean"}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_pandas_reads_a_table(codes, tmp_path, suffix):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / f"codes{suffix}"
    write_codes(path, codes)
    if suffix == ".csv":
        found = pandas.read_csv(path, keep_default_na=False)
    else:
        pytest.importorskip("pyarrow")
        found = pandas.read_parquet(path)
    expected = pandas.DataFrame(columns(codes))
    assert list(found) == list(expected)
    assert list(found)[:6] == [
        "file",
        "row",
        "label",
        "class_name",
        "factor_shape",
        "factor_size",
    ]
    assert list(found["class_name"]) == ["owl", "", "cat", "owl"]
    for name in found:
        values = found[name].astype(expected[name].dtype)
        np.testing.assert_array_equal(values, expected[name])


def test_codes_of_a_program_of_ones_own(tmp_path):
    """The only array of an npz file; numbers of any type."""
    np.savez(tmp_path / "own.npz", np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(
        read_codes(tmp_path / "own.npz")["mean"], [[0, 1, 2], [3, 4, 5]]
    )
    (tmp_path / "own.csv").write_text("mean_1,note, mean_0\n2,x,1e0\n4,y,3.5\n")
    np.testing.assert_array_equal(
        read_codes(tmp_path / "own.csv")["mean"], [[1, 2], [3.5, 4]]
    )


TWO = np.zeros((2, 3), np.float32)
BAD = {
    "of an npz": [
        ({"a": TWO, "b": TWO}, "must hold the codes as mean, .*; it has a, b"),
        ({"mean": np.zeros((2, 8, 8, 1))}, r"mean is float64 of shape \[2, 8, 8, 1\]"),
        ({"mean": np.array([["x"]])}, "mean is <U1"),
        ({"mean": np.full((2, 3), np.nan)}, "not finite"),
        ({"mean": np.full((2, 3), 1e300)}, "not finite as float32"),
        (
            {"mean": TWO, "labels": np.zeros(3, int)},
            r"labels has shape \[3\] .* 2 codes",
        ),
        ({"mean": TWO, "labels": np.zeros(2)}, "labels are float64.* whole numbers"),
        ({"mean": TWO, "rows": np.zeros(2)}, "rows are float64.* whole numbers"),
    ],
    "of a csv": [
        ("", "must have the columns mean_0"),
        ("mean_0\n", "codes are numbers"),
        ("a,mean_0,mean_2\n1,2,3\n", "without a gap; it has a, mean_0, mean_2"),
        ("mean_0,mean_1\n1\n", "line 2 has 1 values for 2 columns"),
        ("mean_0,mean_0\n1,2\n", "several columns called 'mean_0'"),
        ("mean_0\nx\n", "column mean_0 must hold numbers"),
        ("mean_0,label\n1,2.5\n", "column label must hold whole numbers"),
        ('mean_0\n"1', "can't be read as CSV"),
    ],
    "of a parquet": [(b"PAR1", "can't be read as parquet")],
}


@pytest.mark.parametrize(
    ("content", "message"), [case for cases in BAD.values() for case in cases]
)
def test_files_without_codes_are_refused(tmp_path, content, message):
    if isinstance(content, dict):
        path = tmp_path / "bad.npz"
        np.savez(path, **content)
    elif isinstance(content, str):
        path = tmp_path / "bad.csv"
        path.write_text(content)
    else:
        pytest.importorskip("pyarrow")
        path = tmp_path / "bad.parquet"
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_codes(path)
    assert str(path) in str(error.value)


def test_files_that_cannot_be(codes, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="there is no file"):
        read_codes(tmp_path / "no.csv")
    with pytest.raises(ConfigError, match="must end in .npz, .csv or .parquet"):
        write_codes(tmp_path / "codes.xlsx", codes)
    path = tmp_path / "codes.csv"
    with pytest.raises(DataError, match="is not UTF-8, .* write .npz"):
        write_codes(path, {**codes, "files": np.array(["\udcff.png"] * 4)})
    assert not path.exists()
    monkeypatch.setattr(code_files.importlib.util, "find_spec", lambda name: None)
    path = tmp_path / "codes.parquet"
    for call in (lambda: write_codes(path, codes), lambda: read_codes(path)):
        with pytest.raises(ConfigError, match=r"pip install 'vae_jax\[tables\]'"):
            call()
