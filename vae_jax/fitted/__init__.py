"""Priors that are fitted to the codes of a trained model.

A model whose codes as a whole do not look like its prior, above all one without a KL
term, draws better from a density that is fitted to its codes afterwards (Ghosh et al.
2020, arXiv:1903.12436). `Trained.fitted` puts it in the place of the model's own. The
ELBO with it is a bound of log p(x) as before: neither encoder nor decoder has changed.
A new one is a file like these, a line in `BY_NAME`, and a test.
"""

from vae_jax.fitted import autoregressive, flow, mixture, two_stage
from vae_jax.fitted.base import Draws, Fit

BY_NAME: dict[str, Fit] = {
    "gaussian": Fit(mixture.fit_gaussian, mixture.like),
    "gmm": Fit(mixture.fit_mixture, mixture.like),
    "two_stage": Fit(two_stage.fit, two_stage.like),
    "flow": Fit(flow.fit, flow.like),
    "autoregressive": Fit(
        autoregressive.fit,
        autoregressive.like,
        support=autoregressive.Autoregressive.support,
    ),
}

__all__ = ["BY_NAME", "Draws", "Fit"]
