"""KL divergences in closed form, one function for each pair of distributions."""

from collections.abc import Callable

import jax.numpy as jnp

from vae_jax.distributions.base import Distribution, in_float32
from vae_jax.distributions.normal import DiagonalNormal
from vae_jax.errors import ContractError
from vae_jax.types import Array

ClosedForm = Callable[..., Array]

_CLOSED_FORMS: dict[tuple[type, type], ClosedForm] = {}


def register_kl(q_type: type, p_type: type) -> Callable[[ClosedForm], ClosedForm]:
    """Makes a function the closed form of KL(q || p) for a pair of classes.

        @register_kl(VonMisesFisher, UniformOnSphere)
        def _(q, p):
            return ...  # nats, [B], or [B, ...] by dimension

    Classes that inherit from the pair use it, too.

    Args:
        q_type: class of the posterior.
        p_type: class of the prior.

    Returns:
        A decorator that returns the function unchanged.

    Raises:
        ContractError: the pair has a closed form already.
    """

    def register(closed_form: ClosedForm) -> ClosedForm:
        if (q_type, p_type) in _CLOSED_FORMS:
            raise ContractError(
                f"KL({q_type.__name__}, {p_type.__name__}) is registered already"
            )
        _CLOSED_FORMS[q_type, p_type] = closed_form
        return closed_form

    return register


def closed_form(q: Distribution, p: Distribution) -> ClosedForm | None:
    """The function for KL(q || p), None where there is no closed form."""
    for q_type in type(q).__mro__:
        for p_type in type(p).__mro__:
            if (q_type, p_type) in _CLOSED_FORMS:
                return _CLOSED_FORMS[q_type, p_type]
    return None


def kl_divergence(q: Distribution, p: Distribution) -> Array:
    """KL(q || p) where it has a closed form.

    Args:
        q: the posterior, of codes [B, ...]. A point mass counts as zero, see
            `Deterministic`.
        p: the prior, of codes of the same shape.

    Returns:
        KL divergence in nats, [B, ...]: by dimension where these separate, else [B].

    Raises:
        TypeError: the pair has no closed form here.
    """
    if not q.has_density:
        return jnp.zeros_like(q.mean)
    kl = closed_form(q, p)
    if kl is None:
        raise TypeError(
            f"no closed form of KL({type(q).__name__}, {type(p).__name__}): register"
            " one with register_kl, or estimate it with q.log_prob(z) - p.log_prob(z)"
        )
    return kl(q, p)


@register_kl(DiagonalNormal, DiagonalNormal)
def normal_kl(q: DiagonalNormal, p: DiagonalNormal) -> Array:
    """KL of two diagonal normals by dimension, not negative.

    With d = log_std_q - log_std_p,
    1/2 ((mean_q - mean_p)^2 / std_p^2 + expm1(2 d) - 2 d). Written with expm1 it is
    exact near q = p, where the usual form cancels. It overflows past d = 44, which
    `bound_log_std` keeps away. Source: Kingma and Welling 2014, arXiv:1312.6114,
    appendix B.

    Args:
        q: the posterior, fields [B, ...].
        p: the prior, fields [B, ...].

    Returns:
        KL divergence in nats, [B, ...].
    """
    mean, log_std = in_float32(q.mean), in_float32(q.log_std)
    difference = (mean - p.mean) * jnp.exp(-in_float32(p.log_std))
    log_ratio = log_std - p.log_std
    return 0.5 * (difference**2 + jnp.expm1(2 * log_ratio) - 2 * log_ratio)
