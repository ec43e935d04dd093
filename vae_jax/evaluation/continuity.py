"""Continuity: do codes that are near each other decode to similar data?

g(z) is the mean of p(x | z). A straight line between two codes is
c(t) = start + t (end - start), and dg(c(t))/dt = J_g(c(t)) (end - start) is one
forward-mode derivative (jvp): a finite difference would cancel in float32.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from vae_jax.distributions import flatten_event
from vae_jax.evaluation.chunks import map_chunks
from vae_jax.keys import plain
from vae_jax.types import Array, Key

NUM_NODES = 16  # of the Gauss-Legendre rule along each line
LINES_PER_CHUNK = 16
CODES_PER_CHUNK = 256


@jax.jit
def line_numbers(decode: Partial, start: Array, end: Array) -> dict[str, Array]:
    """How far the image travels along decoded straight lines.

    With the speed s(t) = |J_g(c(t)) (end - start)|, the energy of a line is the
    integral of s^2 over t in [0, 1]: the path length of Karras et al. 2019 (section
    4.1) in pixels, for straight lines and an infinitesimal step. Its length is the
    integral of s, its chord |g(end) - g(start)|, and chord^2 <= length^2 <= energy.

    Args:
        decode: z [B, D] -> p(x | z).
        start: codes, [P, D].
        end: codes, [P, D].

    Returns:
        `path_energy`, the mean energy in squared units of x; `length_ratio`, mean
        length / mean chord, at least 1, nan if g is constant.
    """
    nodes, node_weights = np.polynomial.legendre.leggauss(NUM_NODES)  # on [-1, 1]
    times = jnp.asarray((nodes + 1) / 2, jnp.float32)[None, :, None]
    weights = jnp.asarray(node_weights / 2, jnp.float32)

    def flat(codes: Array) -> Array:
        return codes.reshape(-1, codes.shape[-1])

    def mean_image(z: Array) -> Array:
        return flatten_event(decode(z).mean)

    def one_chunk(lines: tuple[Array, Array]) -> Array:
        start, end = (points[:, None] for points in lines)  # [c, 1, D]
        z = start + times * (end - start)  # [c, T, D]
        moves = jnp.broadcast_to(end - start, z.shape)
        _, velocity = jax.jvp(mean_image, (flat(z),), (flat(moves),))
        squared_speed = (velocity**2).sum(axis=1).reshape(-1, NUM_NODES)
        energy = jnp.matmul(squared_speed, weights, precision="highest")
        length = jnp.matmul(jnp.sqrt(squared_speed), weights, precision="highest")
        chord = mean_image(flat(end)) - mean_image(flat(start))
        return jnp.stack([energy, length, jnp.linalg.norm(chord, axis=1)], axis=1)

    lines = map_chunks(one_chunk, (start, end), LINES_PER_CHUNK)
    energy, length, chord = lines.mean(axis=0)
    return {"path_energy": energy, "length_ratio": length / chord}


@jax.jit
def sensitivity(decode: Partial, z: Array, units: Array, key: Key) -> Array:
    """How many nats p(x | z) moves by when z moves by one unit.

    1/2 v^T A^T G(z) A v, averaged over z and over all directions |v| = 1. G is the
    Fisher information of p(x | z) about z, the second derivative of
    KL(p(x | z) || p(x | z + v)) at v = 0. It is E_x[s s^T] with the score
    s = d log p(x | z) / dz, so one draw x and one gradient per z give |A^T s|^2 / (2 D)
    without bias, for every likelihood that can be drawn from and has a derivative.
    Source: Arvanitidis et al. 2022, for the metric.

    Args:
        decode: z [B, D] -> p(x | z).
        z: codes, [n, D].
        units: A, [D, D]: I for moves of one latent unit, a square root of the codes'
            covariance for moves of one of their standard deviations.
        key: random key for the draws x.

    Returns:
        The sensitivity in nats, a scalar.
    """

    def one_chunk(chunk: tuple[Array, Array]) -> Array:
        codes, keys = chunk
        x = decode(codes).sample(plain(keys[0]))
        score = jax.grad(lambda c: decode(c).log_prob(x).sum())(codes)
        in_units = jnp.matmul(score, units, precision="highest")
        return 0.5 * (in_units**2).mean(axis=1)

    keys = jax.random.split(key, z.shape[0])
    return map_chunks(one_chunk, (z, keys), CODES_PER_CHUNK).mean()
