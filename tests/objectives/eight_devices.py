"""One step of each objective on one device and on eight, as JSON.

A program of its own, because the number of devices is fixed once JAX has started.
"""

import json

import jax
import numpy as np

from tests.battery import FAST_COMPILE
from tests.runs_helpers import small_config, spec_of
from vae_jax import build, traced
from vae_jax.training.mesh import make_layout, place

# Terms over the whole batch, which lies on all devices.
OBJECTIVES = {
    "capacity": {"hparams.capacity": 2.0},
    "beta_tc": {"hparams.tc_weight": 5.0},
    "factor": {
        "hparams.tc_weight": 5.0,
        "factor.hidden_dim": 16,
        "factor.num_hidden": 1,
    },
    "dip_i": {"hparams.covariance_weight": 5.0},
    "dip_ii": {"hparams.covariance_weight": 5.0},
    "mmd": {"hparams.mmd_weight": 50.0},
}
IMAGES = np.random.default_rng(0).integers(0, 2, (64, 8, 8, 1)).astype(np.float32)


def stepped(name, num_devices):
    """Metrics of the second step, and the place of the batch."""
    config = small_config(**{"objective.name": name, **OBJECTIVES[name]})
    parts = build.make_parts(config, spec_of(*IMAGES.shape[1:]))
    trainer = build.make_trainer(config, parts)
    layout = make_layout({"data": num_devices}, batch_size=len(IMAGES))
    x = place(IMAGES, layout.batch)
    key, hparams = build.run_key(config), traced.make_hparams_of(config)
    state = place(trainer.init(key, IMAGES), layout.shared)
    step = jax.jit(trainer.step, compiler_options=FAST_COMPILE)
    for _ in range(2):
        state, metrics = step(state, x, key, hparams)
    assert len(x.sharding.device_set) == num_devices
    return {name: float(value) for name, value in metrics.items()}


def main():
    """Prints a JSON object."""
    print(json.dumps({name: [stepped(name, n) for n in (1, 8)] for name in OBJECTIVES}))


if __name__ == "__main__":
    main()
