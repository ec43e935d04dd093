import json
import logging as std_logging
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl import logging

from vae_jax.errors import CheckpointError, ConfigError
from vae_jax.storage.checkpoints import Checkpoints

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


@flax.struct.dataclass
class State:
    step: jax.Array
    params: dict
    opt_state: optax.OptState
    ema: dict | None


def make_state(seed=0, width=3):
    kernel = jax.random.normal(jax.random.key(seed), (width, 4))
    params = {
        "encoder": {"kernel": kernel, "bias": jnp.arange(4, dtype=jnp.bfloat16)},
        "flag": jnp.array(True),
    }
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
    return State(jnp.array(seed, jnp.int32), params, tx.init(params), ema=None)


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert isinstance(x, jax.Array)
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.fixture
def abstract():
    return jax.eval_shape(make_state)


@pytest.fixture
def records(monkeypatch):
    """What was logged so far, whoever logged it."""
    records = []
    handler = std_logging.Handler()
    handler.emit = records.append
    logger = logging.get_absl_logger()
    monkeypatch.setattr(logger, "handlers", [handler])
    return records


@pytest.fixture
def warnings(records):
    return lambda: [r.getMessage() for r in records if r.levelno >= std_logging.WARNING]


@pytest.fixture
def saved(tmp_path):
    """A directory with steps 1, 2, 3 whose state has seed = step."""
    directory = tmp_path / "checkpoints"
    with Checkpoints(directory) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, make_state(step), {"epoch": step})
    return directory


def flip_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def data_file(step_directory):
    """The file that holds the arrays."""
    files = [p for p in (step_directory / "state").rglob("*") if p.is_file()]
    return max(files, key=lambda path: path.stat().st_size)


def test_round_trip(saved, abstract, warnings):
    checkpoints = Checkpoints(saved)
    assert checkpoints.all_steps() == [1, 2, 3]
    step, state, meta = checkpoints.restore(abstract)
    assert (step, meta) == (3, {"epoch": 3})
    assert_equal(state, make_state(3))
    step, state, meta = checkpoints.restore(make_state(), step=2)
    assert (step, meta) == (2, {"epoch": 2})
    assert_equal(state, make_state(2))
    assert warnings() == []


def test_reading_creates_nothing(tmp_path, abstract):
    checkpoints = Checkpoints(tmp_path / "none")
    assert checkpoints.restore(abstract) is None
    assert checkpoints.all_steps() == []
    checkpoints.wait()
    checkpoints.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CheckpointError, match="holds no step 7; it holds none"):
        checkpoints.restore(abstract, step=7)


def test_keeps_only_the_newest(tmp_path):
    with Checkpoints(tmp_path, max_to_keep=2) as checkpoints:
        for step in range(5):
            checkpoints.save(step, make_state(step))
    assert checkpoints.all_steps() == [3, 4]
    with pytest.raises(ConfigError, match="max_to_keep must be 1 or more, not 0"):
        Checkpoints(tmp_path, max_to_keep=0)


def test_restore_sees_a_save_that_is_still_being_written(tmp_path, abstract):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, make_state(5))
        step, state, _ = checkpoints.restore(abstract)
        assert step == 5
        checkpoints.save(6, state)
    assert checkpoints.all_steps() == [5, 6]


def test_saved_buffers_may_be_donated_and_arrays_overwritten(tmp_path):
    double = jax.jit(lambda x: x * 2, donate_argnums=0)
    state = jnp.ones(1_000_000)
    own = np.ones(1_000_000, np.float32)
    like = {"state": state, "own": own}
    with Checkpoints(tmp_path, max_to_keep=8) as checkpoints:
        for step in range(8):
            checkpoints.save(step, {"state": state, "own": own})
            state = double(state)
            own *= 2
        for step in range(8):
            _, restored, _ = checkpoints.restore(like, step)
            for leaf in jax.tree.leaves(restored):
                np.testing.assert_array_equal(leaf, np.full(1_000_000, 2.0**step))


def test_saving_the_same_state_again_does_nothing(saved, abstract):
    with Checkpoints(saved) as checkpoints:
        checkpoints.save(3, make_state(3))
        checkpoints.save(4, make_state(4))
        checkpoints.save(4, make_state(4))  # while the first is still being written
    assert checkpoints.all_steps() == [2, 3, 4]
    assert checkpoints.restore(abstract, 3)[2] == {"epoch": 3}


@pytest.mark.parametrize(("step", "seed"), [(2, 2), (3, 4)])
def test_saving_an_older_step_or_another_state_raises(saved, step, seed):
    with Checkpoints(saved) as checkpoints:
        with pytest.raises(CheckpointError, match="already holds step 3"):
            checkpoints.save(step, make_state(seed))
    assert checkpoints.all_steps() == [1, 2, 3]


def test_meta_that_json_cannot_hold_raises_at_once(tmp_path):
    with Checkpoints(tmp_path / "c") as checkpoints, pytest.raises(TypeError):
        checkpoints.save(1, make_state(), {"array": np.ones(2)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_full_disk_is_one_error_and_the_earlier_step_stays(tmp_path):
    program = """
        import resource, sys, jax.numpy as jnp
        from vae_jax.errors import CheckpointError
        from vae_jax.storage.checkpoints import Checkpoints
        checkpoints = Checkpoints(sys.argv[1])
        checkpoints.save(1, {"w": jnp.zeros(())})
        checkpoints.wait()
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        checkpoints.save(2, {"w": jnp.zeros(()), "large": jnp.arange(10_000)})
        try:
            checkpoints.wait()
        except CheckpointError as error:
            print(error)
        checkpoints.close()
    """
    output, _ = run_python(program, tmp_path).communicate()
    assert output.startswith(f"cannot write a checkpoint to {tmp_path}: ")
    assert "File too large" in output
    assert len(output.splitlines()) == 1
    assert Checkpoints(tmp_path).restore({"w": jnp.ones(())})[0] == 1


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty_directory(step_directory):
    for path in sorted(step_directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def change_a_value_in_the_meta(step_directory):
    path = step_directory / "meta" / "metadata"
    sealed = json.loads(path.read_text())
    sealed["content"]["meta"]["epoch"] += 1
    path.write_text(json.dumps(sealed))


DAMAGE = {
    "flipped bit": lambda d: flip_bit(data_file(d)),
    "truncated": lambda d: cut(data_file(d)),
    "missing arrays": lambda d: data_file(d).unlink(),
    "empty directory": empty_directory,
    "missing state": lambda d: empty_directory(d / "state"),
    "missing meta": lambda d: (d / "meta" / "metadata").unlink(),
    "unparsable meta": lambda d: cut(d / "meta" / "metadata"),
    "changed meta": change_a_value_in_the_meta,
    "index": lambda d: flip_bit(d / "state" / "manifest.ocdbt"),
    "tree": lambda d: cut(d / "state" / "_METADATA"),
}


# TensorStore finishes its other reads after Orbax has closed the event loop.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_newest_step_is_set_aside(saved, abstract, damage, warnings):
    damage(saved / "3")
    checkpoints = Checkpoints(saved)
    step, state, meta = checkpoints.restore(abstract)
    assert (step, meta) == (2, {"epoch": 2})
    assert_equal(state, make_state(2))
    [warning] = warnings()
    assert str(saved / "3") in warning
    assert "step 3 is damaged" in warning
    assert len(warning.splitlines()) == 1
    assert (saved / "damaged" / "3").is_dir()
    assert checkpoints.all_steps() == [1, 2]
    with checkpoints:
        checkpoints.save(3, make_state(3))
    assert checkpoints.restore(abstract)[0] == 3
    assert len(warnings()) == 1


def test_every_flipped_bit_is_noticed_or_harmless(saved, abstract, warnings):
    good = {step: make_state(step) for step in (1, 2, 3)}
    path = data_file(saved / "3")
    original = path.read_bytes()
    generator = random.Random(0)
    noticed = 0
    for _ in range(20):
        data = bytearray(original)
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        path.write_bytes(data)
        try:
            _, state, _ = Checkpoints(saved).restore(abstract, step=3)
        except CheckpointError:
            noticed += 1
        else:
            assert_equal(state, good[3])
    assert noticed > 0


def test_two_damaged_steps_and_a_second_time(saved, abstract, warnings):
    flip_bit(data_file(saved / "3"))
    flip_bit(data_file(saved / "2"))
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.restore(abstract)[0] == 1
        assert len(warnings()) == 2
        checkpoints.save(2, make_state(2))
        checkpoints.wait()
        flip_bit(data_file(saved / "2"))
        assert checkpoints.restore(abstract)[0] == 1
        checkpoints.save(2, make_state(2))
    assert sorted(p.name for p in (saved / "damaged").iterdir()) == ["2", "2-1", "3"]
    assert checkpoints.all_steps() == [1, 2]


def test_a_step_that_belongs_elsewhere_is_set_aside(tmp_path, abstract, warnings):
    """Copied from another run, under another number, or a link to an older step."""
    for run in ("ours", "theirs"):
        with Checkpoints(tmp_path / run, run=run) as checkpoints:
            for step in (1, 2):
                checkpoints.save(step, make_state(step))
    ours = tmp_path / "ours"
    shutil.copytree(tmp_path / "theirs" / "2", ours / "5")
    shutil.copytree(ours / "2", ours / "4")
    (ours / "3").symlink_to(ours / "1")
    (ours / "0290").mkdir()  # no number of a step
    (ours / "\N{SUPERSCRIPT TWO}").mkdir()
    checkpoints = Checkpoints(ours, run="ours")
    step, state, _ = checkpoints.restore(abstract)
    assert step == 2
    assert_equal(state, make_state(2))
    foreign, renamed, link = warnings()
    assert "5 of step 5 was saved by another run" in foreign
    assert "4 of step 4 was saved as step 2" in renamed
    assert "3 of step 3 was saved as step 1" in link
    assert Checkpoints(ours).restore(abstract)[0] == 2  # whoever asks for any run's
    with pytest.raises(CheckpointError, match=r"/2 was saved by another run"):
        Checkpoints(ours, run="theirs").restore(abstract)


def test_a_step_that_is_deleted_while_it_is_read_is_not_damaged(
    saved, abstract, warnings, monkeypatch
):
    """Another program goes on saving, and keeps one step only."""
    original, reads = Checkpoints._read_arrays, []

    def read(self, step, *rest):
        reads.append(step)
        if len(reads) < 3:  # its successor is committed, then it is removed
            with Checkpoints(saved, max_to_keep=1) as writer:
                writer.save(step + 1, make_state(step + 1))
            assert not (saved / str(step)).exists()
        return original(self, step, *rest)

    monkeypatch.setattr(Checkpoints, "_read_arrays", read)
    step, state, _ = Checkpoints(saved).restore(abstract)
    assert (step, reads) == (5, [3, 4, 5])
    assert_equal(state, make_state(5))
    assert warnings() == []


def test_no_good_step_is_an_error_that_moves_nothing(saved, abstract, warnings):
    for step in (1, 2, 3):
        flip_bit(data_file(saved / str(step)))
    checkpoints = Checkpoints(saved)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="is damaged .* no older good one"):
            checkpoints.restore(abstract)
    assert checkpoints.all_steps() == [1, 2, 3]
    assert warnings() == []


def test_a_named_damaged_step_names_the_older_one(saved, abstract, warnings):
    flip_bit(data_file(saved / "2"))
    checkpoints = Checkpoints(saved)
    with pytest.raises(CheckpointError, match=r"/2 is damaged \(.*\); try step 1$"):
        checkpoints.restore(abstract, step=2)
    assert checkpoints.all_steps() == [1, 2, 3]


def test_a_read_only_disk_does_not_stop_a_restore(
    saved, abstract, warnings, monkeypatch
):
    def refuse(self, target):
        raise PermissionError(30, "Read-only file system")

    flip_bit(data_file(saved / "3"))
    monkeypatch.setattr(pathlib.Path, "rename", refuse)
    assert Checkpoints(saved).restore(abstract)[0] == 2
    [warning] = warnings()
    assert "could not be moved away (Read-only file system)" in warning


def without_bias(state):
    params = {**state.params, "encoder": {"kernel": state.params["encoder"]["kernel"]}}
    return state.replace(params=params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: make_state(width=5),
            r"params/encoder/kernel is float32\[3, 4\] in the checkpoint and"
            r" float32\[5, 4\] in the model",
        ),
        (
            lambda s: s.replace(step=jnp.zeros(())),
            r"step is int32\[\] in the checkpoint and float32\[\] in the model",
        ),
        (
            without_bias,
            r"params/encoder/bias is bfloat16\[4\] in the checkpoint and missing",
        ),
        (
            lambda s: s.replace(ema={"kernel": jnp.zeros(2)}),
            r"ema/kernel is missing in the checkpoint and float32\[2\] in the model",
        ),
    ],
)
def test_another_structure_is_not_damage(saved, change, message, warnings):
    checkpoints = Checkpoints(saved)
    for step in (None, 2):
        with pytest.raises(CheckpointError, match=message):
            checkpoints.restore(change(make_state()), step)
    assert checkpoints.all_steps() == [1, 2, 3]
    assert warnings() == []


def test_orbax_is_quiet_but_we_are_not(tmp_path, records):
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.INFO)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state())
        logging.info("ours")
    logging.set_verbosity(verbosity)
    assert [record.getMessage() for record in records] == ["ours"]


def test_placement_follows_the_abstract_state(tmp_path):
    mesh = jax.make_mesh((1,), ("data",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"w": jnp.arange(4.0)})
    like = {"w": jax.ShapeDtypeStruct((4,), jnp.float32, sharding=sharding)}
    assert checkpoints.restore(like)[1]["w"].sharding == sharding
    assert checkpoints.restore({"w": jnp.zeros(4)})[1]["w"].committed is False


def run_python(program, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_kill_in_the_middle_of_saves(tmp_path, abstract):
    program = """
        import sys, itertools, jax, jax.numpy as jnp
        from vae_jax.storage.checkpoints import Checkpoints
        checkpoints = Checkpoints(sys.argv[1])
        found = checkpoints.restore({"w": jnp.zeros(500_000)})
        first = 0 if found is None else found[0] + 1
        for step in itertools.count(first):
            checkpoints.save(step, {"w": jnp.full(500_000, float(step))})
            checkpoints.wait()
            print(step, flush=True)
    """
    directory = tmp_path / "checkpoints"
    generator = random.Random(0)
    like = {"w": jnp.zeros(500_000)}
    for _ in range(4):
        process = run_python(program, directory)
        process.stdout.readline()
        time.sleep(generator.uniform(0.0, 0.4))
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        printed = [int(line) for line in output.split("\n")[:-1]]
        step, state, _ = Checkpoints(directory).restore(like)
        assert step >= max(printed, default=0)
        np.testing.assert_array_equal(state["w"], np.full(500_000, float(step)))
    (directory / "99.orbax-checkpoint-tmp").mkdir()
    Checkpoints(directory).restore(like)
    assert (directory / "99.orbax-checkpoint-tmp").exists()
    with Checkpoints(directory) as checkpoints:
        checkpoints.save(step + 1, like)
    assert not list(directory.glob("*tmp*"))
    assert not (directory / "damaged").exists()


@pytest.mark.slow
def test_two_processes_save_and_one_restores(tmp_path):
    program = """
        import sys, jax, numpy as np
        jax.distributed.initialize("127.0.0.1:" + sys.argv[2], 2, int(sys.argv[3]))
        from jax.experimental import multihost_utils
        from jax.sharding import AxisType, NamedSharding, PartitionSpec
        from vae_jax.storage.checkpoints import Checkpoints
        mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
        values = np.arange(8, dtype=np.float32)
        place = lambda spec: jax.make_array_from_callback(
            (8,), NamedSharding(mesh, PartitionSpec(*spec)), lambda i: values[i]
        )
        state = {"same": place([]), "split": place(["data"])}
        with Checkpoints(sys.argv[1]) as checkpoints:
            assert checkpoints.restore(state) is None
            for step in (1, 2):
                checkpoints.save(step, state, {"step": step})
            checkpoints.wait()
            if jax.process_index() == 0:
                (checkpoints.directory / "2" / "meta" / "metadata").unlink()
            multihost_utils.sync_global_devices("damaged")
            step, restored, meta = checkpoints.restore(state)
            assert (step, meta) == (1, {"step": 1})
            assert restored["split"].sharding == state["split"].sharding
            for shard in restored["split"].addressable_shards:
                np.testing.assert_array_equal(shard.data, values[shard.index])
            checkpoints.save(2, state)
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gloo = {"JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo"}
    workers = [run_python(program, tmp_path / "c", port, n, **gloo) for n in range(2)]
    outputs = [worker.communicate(timeout=120) for worker in workers]
    assert [w.returncode for w in workers] == [0, 0], outputs
    like = {"same": jnp.zeros(8), "split": jnp.zeros(8)}
    step, state, _ = Checkpoints(tmp_path / "c").restore(like)
    assert step == 2
    for leaf in state.values():
        np.testing.assert_array_equal(leaf, np.arange(8))
