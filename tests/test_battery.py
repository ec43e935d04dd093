"""Every part and every objective: the mistakes that any of them could make."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests import battery
from tests.runs_helpers import REPOSITORY


@pytest.mark.parametrize(("model", "objective"), battery.cases())
def test_loss_is_finite_and_reaches_every_parameter(model: str, objective: str) -> None:
    measured = battery.measure(model)
    assert measured.losses[objective].shape == ()
    assert jnp.isfinite(measured.losses[objective])
    assert battery.without_gradient(measured.loss_gradients[objective]) == []


@pytest.mark.parametrize("model", battery.MODELS)
def test_reconstruction_reaches_the_encoder_through_the_drawn_code(model: str) -> None:
    gradient = battery.measure(model).distortion_gradient
    assert battery.without_gradient(gradient, battery.RATE_ONLY) == []


@pytest.mark.parametrize("model", battery.UNJITTED)
def test_jit_changes_nothing(model: str) -> None:
    measured = battery.measure(model)
    np.testing.assert_allclose(measured.jitted, measured.unjitted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model", battery.MODELS)
def test_what_jit_compiles_depends_on_nothing_but_the_config(model: str) -> None:
    """Nor on what was traced before: so jit can not keep what has changed since."""
    first, second = battery.measure(model).programs
    assert first == second


def test_only_labels_and_a_temperature_are_looked_at_where_there_is_no_jit() -> None:
    """The battery leaves out jit for what looks at labels; here no draw is heated."""
    of_models = ("evaluation", "training", "runs", "storage")  # what surrounds them
    files = (REPOSITORY / "vae_jax").rglob("*.py")
    named = {str(path.relative_to(REPOSITORY / "vae_jax")): path for path in files}
    looking = {
        name
        for name, path in named.items()
        if not name.startswith(of_models) and "Tracer" in path.read_text()
    }
    assert looking == {"models/base.py", "distributions/quantized.py"}


@pytest.mark.parametrize("model", battery.MODELS)
def test_an_example_depends_on_its_own_image_only(model: str) -> None:
    jacobian = battery.measure(model).jacobian
    own = np.eye(battery.B, dtype=bool)
    assert (jacobian[own] > 0).all()
    assert (jacobian[~own] == 0).all()
