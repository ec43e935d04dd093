"""Whether each dimension of a code stands for one factor of variation.

Functions of codes [N, D] and factors [N, F] as NumPy arrays, usable without any model:

    from vae_jax.evaluation.disentanglement import mig
    mig(codes, factors)

docs/disentanglement.md says what each one asks, and where it misleads.
"""

from vae_jax.evaluation.disentanglement.forests import DCI, dci
from vae_jax.evaluation.disentanglement.information import (
    information_table,
    mig,
    mig_by_factor,
    modularity,
)
from vae_jax.evaluation.disentanglement.interventions import irs
from vae_jax.evaluation.disentanglement.linear import (
    explicitness,
    predictive_information,
    sap,
)
from vae_jax.evaluation.disentanglement.neighbours import InfoMEC, infomec
from vae_jax.evaluation.disentanglement.resampling import standard_errors
from vae_jax.evaluation.disentanglement.together import all_metrics
from vae_jax.evaluation.disentanglement.votes import beta_vae_score, factor_vae_score

__all__ = [
    "DCI",
    "InfoMEC",
    "all_metrics",
    "beta_vae_score",
    "dci",
    "explicitness",
    "factor_vae_score",
    "infomec",
    "information_table",
    "irs",
    "mig",
    "mig_by_factor",
    "modularity",
    "predictive_information",
    "sap",
    "standard_errors",
]
