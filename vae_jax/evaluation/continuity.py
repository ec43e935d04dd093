"""Continuity: do codes that are near each other decode to similar data?

g(z) is the mean of p(x | z). A straight line between two codes is
c(t) = start + t (end - start), and d g(c(t)) / dt = J_g(c(t)) (end - start) is one
forward-mode derivative (`jvp`): no finite difference, which in float32 would cancel.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Distribution, sum_event
from vae_jax.evaluation.chunks import map_chunks
from vae_jax.types import Array, Key

Decode = Callable[[Array], Distribution]  # z [B, D] -> p(x | z)

NUM_NODES = 16  # of the Gauss-Legendre rule along each line
LINES_PER_CHUNK = 16
CODES_PER_CHUNK = 256


@jax.jit
def line_numbers(decode: Decode, start: Array, end: Array) -> dict[str, Array]:
    """What happens on the way along decoded straight lines.

    With the speed s(t) = |J_g(c(t)) (end - start)|, the energy is the integral of s^2
    over t in [0, 1] (path length of Karras et al. 2020, appendix D, in pixels, for
    straight lines and in the limit of a step of 0), the length L that of s, and the
    chord |g(end) - g(start)|. Always chord <= L <= sqrt(energy).

    Args:
        decode: z [B, D] -> p(x | z), a pytree (`jax.tree_util.Partial`).
        start: codes, [P, D].
        end: codes, [P, D].

    Returns:
        `path_energy`, mean energy in squared units of x; `length_ratio`, mean L / mean
        chord, at least 1 (nan if nothing changes); `speed_ratio`, mean energy / mean
        L^2, at least 1.
    """
    nodes, weights = np.polynomial.legendre.leggauss(NUM_NODES)
    times = jnp.asarray((nodes + 1) / 2, jnp.float32)[None, :, None]
    weights = jnp.asarray(weights / 2, jnp.float32)

    def mean_image(z: Array) -> Array:
        return decode(z).mean

    def one_chunk(lines: tuple[Array, Array]) -> Array:
        begin, move = lines
        z = begin[:, None] + times * move[:, None]  # [c, T, D]
        along = jnp.broadcast_to(move[:, None], z.shape)
        dim = z.shape[-1]
        _, velocity = jax.jvp(
            mean_image, (z.reshape(-1, dim),), (along.reshape(-1, dim),)
        )
        squared_speed = sum_event(velocity**2).reshape(-1, NUM_NODES)
        energy = squared_speed @ weights
        length = jnp.sqrt(squared_speed) @ weights
        step = mean_image(begin + move) - mean_image(begin)
        chord = jnp.sqrt(sum_event(step**2))
        return jnp.stack([energy, length, length**2, chord], axis=1)

    lines = (start, end - start)
    means = map_chunks(one_chunk, lines, LINES_PER_CHUNK).mean(axis=0)
    energy, length, squared_length, chord = means
    return {
        "path_energy": energy,
        "length_ratio": length / chord,
        "speed_ratio": energy / squared_length,
    }


@jax.jit
def sensitivity(decode: Decode, z: Array, units: Array, key: Key) -> Array:
    """How many nats p(x | z) moves by when z moves by one unit.

    1/2 v^T G(z) v averaged over z and over directions v of length one, where
    G = E_x[score score^T] is the Fisher information of p(x | z) about z and the second
    derivative of KL(p(x | z) || p(x | z + v)) at v = 0. One draw x ~ p(x | z) and one
    jvp of log p(x | z) along v give v^T G v = E_x[(d log p(x | z + t v) / dt)^2]
    without bias, for every likelihood that can be drawn from and has a derivative.
    Source: Arvanitidis et al. 2022 (pulling back information geometry), section 3.

    Args:
        decode: z [B, D] -> p(x | z), a pytree (`jax.tree_util.Partial`).
        z: codes, [n, D].
        units: A, [D, D]: the move is A v for |v| = 1. I for plain latent units, a
            square root of the codes' covariance for moves of one standard deviation.
        key: of the directions and of the draws.

    Returns:
        Nats, [].
    """
    direction_key, draw_key = jax.random.split(key)
    v = jax.random.normal(direction_key, z.shape)
    v = v / jnp.linalg.norm(v, axis=1, keepdims=True)
    draw_keys = jax.random.split(draw_key, z.shape[0])

    def one_chunk(chunk: tuple[Array, Array, Array]) -> Array:
        codes, moves, keys = chunk
        x = jax.lax.stop_gradient(decode(codes).sample(keys[0]))
        _, score = jax.jvp(lambda c: decode(c).log_prob(x), (codes,), (moves,))
        return 0.5 * score**2

    moves = jnp.matmul(v, units.T, precision="highest")
    return map_chunks(one_chunk, (z, moves, draw_keys), CODES_PER_CHUNK).mean()
