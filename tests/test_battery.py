"""Every part and every objective: the mistakes that any of them could make."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests import battery


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


@pytest.mark.parametrize("model", battery.MODELS)
def test_jit_changes_nothing(model: str) -> None:
    measured = battery.measure(model)
    np.testing.assert_allclose(measured.jitted, measured.unjitted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model", battery.MODELS)
def test_an_example_depends_on_its_own_image_only(model: str) -> None:
    jacobian = battery.measure(model).jacobian
    own = np.eye(battery.B, dtype=bool)
    assert (jacobian[own] > 0).all()
    assert (jacobian[~own] == 0).all()
