"""Completeness."""

import jax
import jax.numpy as jnp

from vae_jax.evaluation.chunks import map_chunks
from vae_jax.types import Array


def flat(x):
    return x.reshape(x.shape[0], -1)


def squared_distances(a: Array, b: Array) -> Array:
    """Squared Euclidean distances, [n, P], [m, P] -> [n, m]."""
    product = jnp.matmul(a, b.T, precision="highest")
    return (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * product


@jax.jit
def prdc(real: Array, fake: Array, k: int = 5) -> dict[str, Array]:
    real, fake = flat(real), flat(fake)
    def radii(x):
        d = squared_distances(x, x)
        d = jnp.where(jnp.eye(len(x), dtype=bool), jnp.inf, d)
        return -jax.lax.top_k(-d, 5)[0][:, -1]
    d = squared_distances(real, fake)
    in_real = d <= radii(real)[:, None]
    in_fake = d <= radii(fake)[None, :]
    return {
        "precision": in_real.any(axis=0).mean(),
        "density": in_real.sum() / (5 * fake.shape[0]),
        "recall": in_fake.any(axis=1).mean(),
        "coverage": in_real.any(axis=1).mean(),
    }


@jax.jit
def pca(x):
    x = flat(x)
    m = x.mean(0, keepdims=True)
    _, s, vt = jnp.linalg.svd(x - m, full_matrices=False)
    return m, vt[:32]


@jax.jit
def frechet(a: Array, b: Array) -> Array:
    def mom(x):
        m = x.mean(0); c = x - m[None]
        return m, jnp.matmul(c.T, c, precision="highest") / (len(x)-1)
    ma, ca = mom(a); mb, cb = mom(b)
    va, ve = jnp.linalg.eigh(ca)
    root = (ve * jnp.sqrt(jnp.maximum(va, 0))[None, :]) @ ve.T
    ev = jnp.linalg.eigvalsh(root @ cb @ root)
    return ((ma - mb) ** 2).sum() + jnp.trace(ca) + jnp.trace(cb) - 2 * jnp.sqrt(jnp.maximum(ev, 0)).sum()
