"""The NLL by annealed importance sampling, with two bounds around the true one."""

from vae_jax.evaluation import ais
from vae_jax.evaluation.data import Data
from vae_jax.evaluation.measures.base import Effort, Measure, Numbers
from vae_jax.quantities import LOWER, UPPER, Group, Quantity, one
from vae_jax.trained import Trained
from vae_jax.types import Key, stream

ANNEALED = Group(
    "Annealed importance sampling",
    "Of some images of the split, and of as many simulated ones. Nothing asks for"
    " q(z | x), so that a plain autoencoder has these numbers, too.",
)
QUANTITIES = (
    Quantity(
        "NLL, annealed",
        "Minus log p(x), estimated by chains from the prior. Errs upwards.",
        one("ais_nll"),
        ANNEALED,
        "0 or more for discrete pixels",
        "smaller is better",
        "nats",
        error="ais_nll_standard_error",
        best="smallest",
        brief="fit",
    ),
    Quantity(
        "NLL, annealed, standard error",
        "Of the mean over images.",
        one("ais_nll_standard_error"),
        ANNEALED,
        unit="nats",
    ),
    Quantity(
        "Effective chains",
        "How many chains of an image count.",
        one("ais_effective_sample_size"),
        ANNEALED,
        "1 to the number of chains",
        "larger is better",
        best="largest",
    ),
    Quantity(
        "Acceptance",
        "Share of the chains' moves that were accepted.",
        one("ais_acceptance"),
        ANNEALED,
        "0 to 1",
        "near 0.65, which the step sizes aim at",
    ),
    Quantity(
        "log p(x), simulated images",
        "Between these bounds lies the mean log-likelihood of images that were drawn"
        " from the model.",
        {"simulated_lower_bound": LOWER, "simulated_upper_bound": UPPER},
        ANNEALED,
        unit="nats",
    ),
    Quantity(
        "Gap of these bounds",
        "Where it is small, chains of this length are to be trusted on this model.",
        one("simulated_gap"),
        ANNEALED,
        "0 or more, in expectation",
        "near 0",
        "nats",
        error="simulated_gap_standard_error",
        best="smallest",
        brief="fit",
    ),
    Quantity(
        "Gap, standard error",
        "Of the mean over simulated images.",
        one("simulated_gap_standard_error"),
        ANNEALED,
        unit="nats",
    ),
)


def run(trained: Trained, data: Data, key: Key, effort: Effort) -> Numbers:
    """`ais.summarize` of some held-out images and of as many simulated ones."""
    split = data.heldout.some(effort.num_annealed)
    x = split.x()

    def progress(done: int, before: int) -> None:
        if effort.progress is not None:
            effort.progress(before + done, 2 * len(split))

    real = ais.annealed_likelihood(
        trained,
        x,
        stream(key, "annealing"),
        effort.annealing,
        progress=lambda done, _: progress(done, 0),
    )
    simulated = ais.bounds_on_simulated(
        trained,
        len(split),
        stream(key, "annealing simulated"),
        effort.annealing,
        given=trained.given(x),
        progress=progress,
    )
    numbers = ais.summarize(real, simulated)
    return {
        key if key.startswith("simulated_") else f"ais_{key}": value
        for key, value in numbers.items()
    }


def why_not(trained: Trained, data: Data) -> str | None:
    """It needs a likelihood that is a density, and codes that can move."""
    return ais.why_not(trained, trained.given(data.heldout.some(1).x()))


MEASURE = Measure(run, QUANTITIES, why_not)
