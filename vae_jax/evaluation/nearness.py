"""How near a point of a latent space is to the codes of images: data, or a hole?"""

import numpy as np

REACH = 0.95  # share of codes that have another one within `reach`
_SMALLEST = 1e-12  # variance, where all codes are one point


def smoothed(means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Variances of posteriors, not smaller than the gaps between them.

    To each is added the squared distance of a typical code to its nearest other one,
    divided by the number of dimensions. So the points of an autoencoder have a
    neighbourhood, too, and a wide posterior is hardly changed.

    Args:
        means: of q(z | x), [N, D], N at least 2.
        variances: likewise, [N, D]; 0 for points.

    Returns:
        Positive variances, [N, D].
    """
    gaps = _to_nearest_other(means, means, np.ones_like(means))
    return variances + max(float(np.median(gaps)) / means.shape[1], _SMALLEST)


def squared_distances(
    z: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """sum_d (z_d - mean_d)^2 / variance_d of each point from each code.

    Args:
        z: points, [Q, D].
        means: of the codes, [N, D].
        variances: positive, [N, D].

    Returns:
        [Q, N], float64.
    """
    z, means, variances = (np.asarray(a, np.float64) for a in (z, means, variances))
    center = means.mean(axis=0)  # less cancels where codes are far from the origin
    z, means = z - center, means - center
    squares = z**2 @ (1 / variances).T - 2 * z @ (means / variances).T
    return np.maximum(squares + (means**2 / variances).sum(axis=1), 0.0)


def reach(
    means: np.ndarray, variances: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, float]:
    """How far a point may be from the nearest code and still be among the codes.

    Of one draw from each posterior, 95% are within this distance of the posterior of
    another image. With very wide posteriors, all N(0, I), it is the radius of the
    region that holds 95% of it: no part of the prior is a hole then.

    Args:
        means: of q(z | x), [N, D], N at least 2.
        variances: likewise, [N, D]; 0 for points.
        seed: seed of the draws.

    Returns:
        The `smoothed` variances, and the squared distance by them.
    """
    noise = np.random.default_rng(seed).standard_normal(means.shape)
    wide = smoothed(means, variances)
    gaps = _to_nearest_other(means + np.sqrt(variances) * noise, means, wide)
    return wide, float(np.quantile(gaps, REACH))


def _to_nearest_other(
    z: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """Squared distance of row n of z to the nearest code that is not code n, [N]."""
    distances = squared_distances(z, means, variances)
    np.fill_diagonal(distances, np.inf)
    return distances.min(axis=1)
