"""A latent space of a trained model, as far as pictures need it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jax.scipy.stats import norm


@dataclasses.dataclass(frozen=True)
class LatentSpace:
    """Codes of a test split, and a decoder."""

    codes: np.ndarray  # means of q(z | x), [N, D]; of one layer, where z is of all
    shown: np.ndarray  # codes of `images`, [m, D], as `decode` takes them
    # Mean KL by dimension, nats, [D], or in all, [1]; None for an autoencoder.
    kl: np.ndarray | None
    layer_kl: np.ndarray | None  # its sums of each layer, next to the data first, [L]
    prior_codes: np.ndarray  # draws from p(z), [n, D]
    # z [B, D] -> mean of p(x | z), [B, H, W, C]
    decode: Callable[[np.ndarray], np.ndarray]
    images: np.ndarray  # images spread over the split, [m, H, W, C] in [0, 1]
    seen: np.ndarray  # what the model sees of them: binarised, or with noise
    is_continuous: bool = True  # False for discrete codes, which have none in between
    name: str = "z"  # what `codes` are called: z, or z1, z5, ... of several layers
    # By the number of a layer, the top one first: images that share the codes of the
    # layers above it, [T, H, W, C]. Empty for a model with one layer.
    layers: Mapping[int, np.ndarray] = dataclasses.field(default_factory=dict)
    has_standard_prior: bool = True  # whether `codes` have N(0, I) for their prior
    num_held: int = 0  # numbers at the end of a row that are no code: 1 for a label
    prior_labels: Sequence[int] | None = None  # of the draws, [n], if they have such
    # The first of `images` decoded with each of these labels, [R, L, H, W, C].
    by_label: np.ndarray | None = None

    @property
    def shown_size(self) -> int:
        """How many numbers of a row of `shown` are of codes."""
        return self.shown.shape[1] - self.num_held

    @property
    def kl_by_dimension(self) -> np.ndarray | None:
        """`kl` where it has a part for each dimension: not under a mixture prior."""
        has_parts = self.kl is not None and len(self.kl) == self.shown_size
        return self.kl if has_parts else None

    def lines(self, num: int, steps: int) -> np.ndarray:
        """Rows from the codes of `num` images to those of as many others.

        With a label, the other is the next image of the same label, if there is one;
        the label stays that of the first.

        Returns:
            As `decode_grid` takes them, [num, steps, D].
        """
        ends = np.arange(num, 2 * num)
        held = self.shown[:, self.shown_size :]
        for first in range(num) if self.num_held else ():
            alike = (held[first + 1 :] == held[first]).all(axis=1)
            if alike.any():
                ends[first] = first + 1 + alike.argmax()
        start, end = self.shown[:num], self.shown[ends].copy()
        end[:, self.shown_size :] = held[:num]
        return straight_lines(start, end, steps)

    def decode_grid(self, z: np.ndarray) -> np.ndarray:
        """Decodes [R, T, D] to [R, T, H, W, C]."""
        flat = self.decode(z.reshape(-1, z.shape[-1]).astype(np.float32))
        return flat.reshape(*z.shape[:2], *flat.shape[1:])


def straight_lines(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """Equal steps from one code to another: (1 - t) a + t b.

    Args:
        start: a, [R, D].
        end: b, [R, D].
        steps: T, codes of each line, both ends among them.

    Returns:
        [R, T, D].
    """
    return np.linspace(start, end, steps, axis=1)


def spherical_lines(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """Equal angles from one code to another, around the origin.

    With w the angle between a and b it is (sin((1 - t) w) a + sin(t w) b) / sin(w).
    Between draws of N(0, I) in many dimensions it passes through codes that are as
    long as draws are, while the middle of a straight line is shorter, by a factor of
    about sqrt(2). Source: White 2016, arXiv:1609.04468.

    Args:
        start: a, [R, D].
        end: b, [R, D].
        steps: T, codes of each line, both ends among them.

    Returns:
        [R, T, D]; straight where a and b have one direction or opposite ones, or one
        is 0.
    """
    lengths = np.linalg.norm(start, axis=1) * np.linalg.norm(end, axis=1)
    cosine = (start * end).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    angle = np.arccos(np.clip(cosine, -1, 1))[:, None, None]
    share = np.linspace(0, 1, steps)[None, :, None]
    is_bent = np.sin(angle) > 1e-3  # below it the two are equal, or there is no plane
    scale = np.where(is_bent, np.sin(angle), 1)
    bent = (
        np.sin((1 - share) * angle) * start[:, None]
        + np.sin(share * angle) * end[:, None]
    ) / scale
    is_bent = is_bent & (lengths > 0)[:, None, None]
    return np.where(is_bent, bent, straight_lines(start, end, steps))


# Ways from one code to another: (start, end, steps) -> [R, T, D].
PATHS = {"linear": straight_lines, "spherical": spherical_lines}


def prior_grid(size: int = 20) -> np.ndarray:
    """A 2-D latent space at the quantiles of N(0, 1), [size, size, 2]."""
    quantiles = (np.arange(size) + 0.5) / size
    axis = np.asarray(norm.ppf(quantiles))
    first, second = np.meshgrid(axis, axis[::-1])
    return np.stack([first, second], axis=-1)


def principal_plane(points: np.ndarray) -> np.ndarray:
    """Coordinates along the first two principal axes, [N, D] -> [N, 2].

    The origin stays where it is: it is the centre of the prior.
    """
    # Divided by N, not N - 1: one point has a plane, too.
    covariance = np.cov(points.T, bias=True).reshape(points.shape[1], -1)
    _, axes = np.linalg.eigh(covariance)
    plane = points @ axes[:, ::-1][:, :2]
    return plane if plane.shape[1] == 2 else np.pad(plane, ((0, 0), (0, 1)))
