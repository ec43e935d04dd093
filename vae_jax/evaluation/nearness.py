"""Is a point of a latent space among the codes of images, or in a hole?"""

import numpy as np

NEIGHBOURS = 5  # as many as completeness.NEIGHBOURS, which asks the same of images
REACH = 0.95  # share of codes that are among the others
_SMALLEST = 1e-12  # variance, where all codes are one point


def widened(means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Variances of posteriors, each with the gap to the codes around it.

    What is added is the squared distance to the fifth nearest other code, divided by
    the number of dimensions. So the points of an autoencoder have a neighbourhood, too,
    small where codes are dense, and a wide posterior is hardly changed.

    Args:
        means: means of q(z | x), [N, D], N at least 2.
        variances: its variances, [N, D]; 0 for points.

    Returns:
        Positive variances, [N, D].
    """
    distances = squared_distances(means, means, np.ones_like(means))
    np.fill_diagonal(distances, np.inf)
    last = min(NEIGHBOURS, len(means) - 1) - 1
    gaps = np.partition(distances, last, axis=1)[:, last]
    return variances + np.maximum(gaps / means.shape[1], _SMALLEST)[:, None]


def squared_distances(
    z: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """sum_d (z_d - mean_d)^2 / variance_d of each point from each code.

    Args:
        z: points, [Q, D].
        means: means of the codes, [N, D].
        variances: positive numbers, [N, D].

    Returns:
        [Q, N], float64.
    """
    z, means, variances = (np.asarray(a, np.float64) for a in (z, means, variances))
    center = means.mean(axis=0)  # less cancels where codes are far from the origin
    z, means = z - center, means - center
    squares = z**2 @ (1 / variances).T - 2 * z @ (means / variances).T
    return np.maximum(squares + (means**2 / variances).sum(axis=1), 0.0)


def neighbourhoods(
    means: np.ndarray, variances: np.ndarray
) -> tuple[np.ndarray, float]:
    """What decides whether a point is among the codes: one of them is near enough.

    Near enough is what 95% of the codes are to another image's: of one draw from each
    posterior, the smallest `squared_distances` to the posterior of another image, with
    `widened` variances. With posteriors that are all N(0, I), this is the radius of the
    region that holds 95% of the prior, no part of which is a hole then.

    Args:
        means: means of q(z | x), [N, D], N at least 2.
        variances: its variances, [N, D]; 0 for points.

    Returns:
        The widened variances, [N, D], and the largest squared distance by them.
    """
    noise = np.random.default_rng(0).standard_normal(means.shape)
    wide = widened(means, variances)
    z = means + np.sqrt(variances) * noise
    distances = squared_distances(z, means, wide)
    np.fill_diagonal(distances, np.inf)
    return wide, float(np.quantile(distances.min(axis=1), REACH))
