"""The model card of exported weights: a README that people and the Hub can read."""

import importlib
import json
import shlex
from collections.abc import Mapping, Sequence

import jax

from vae_jax.as_text import few_digits
from vae_jax.data.description import form_of
from vae_jax.data.sources import without_path
from vae_jax.export.description import describe_data, is_autoencoder
from vae_jax.fields import Config, Fields
from vae_jax.flat import flatten
from vae_jax.quantities import Quantity, sections
from vae_jax.runs import identity
from vae_jax.runs.finish import quantities
from vae_jax.runs.finished import train_flags
from vae_jax.runs.opened import Run
from vae_jax.storage.manifest import Json

CARD = "README.md"
TASK = "unconditional-image-generation"
ROWS_TASK = "other"  # the Hub's identifier of a task without one of its own
DRAWN = "sample(16)  # means of p(x | z) for draws of the prior"
DECODED = "decode(run.encode(x).mean).mean  # of 16 images x"
UNKNOWN = "unknown"  # the Hub's identifier where nobody has chosen a licence

TEXT = """\
---
{front}
---

# {name}

{a_model} of {kind}{of}, trained with
vae_jax {version}: model `{model}`, posterior `{posterior}`, {prior}, likelihood
`{likelihood}`, objective `{objective}`, {parameters} parameters, step {step}.

## Use

```python
from vae_jax.export.weights import open_weights

run = open_weights(".")  # this folder
images = run.{use}, [16, {shape}]
```

`run.encode`, `run.decode` and `run.reconstruct` take images and codes; no file is a
pickle. Without vae_jax, `safetensors.numpy.load_file("model.safetensors")` gives the
arrays by name.

## Training

```bash
{command}
```

Fields that it does not name have the defaults of configs/default.py of that version;
config.json has all of them. Versions: jax {jax}. Digest of config and data:
`{digest}`.

## Data

{data}

## Numbers

{numbers}
## Licence

{licence}
"""


def model_card(
    run: Run, results: Mapping[str, float | None] | None, defaults: Fields, license: str
) -> str:
    """The text of the card, with metadata as the Hugging Face Hub reads them.

    Args:
        run: the exported run.
        results: the content of its results.json; None for a run that is not finished.
        defaults: the fields of configs/default.py, flat.
        license: licence of the weights, an identifier of the Hub.

    Returns:
        Markdown with YAML in front.
    """
    config, data = run.config, identity.read_data(run.workdir)
    name = without_path(str(data["name"])).rstrip(":")
    listed = _numbers(results or {})
    licence = f"The licence of these weights is `{license}`."
    if license == UNKNOWN:
        licence = (
            "Nobody has said under which licence these weights are; `--license` of"
            " the program export does."
        )
    size = sum(leaf.size for leaf in jax.tree.leaves(run.params))
    is_plain = is_autoencoder(run)
    return TEXT.format(
        front=_front(run, name, listed, results or {}, license),
        name=run.workdir.resolve().name,
        a_model="An autoencoder" if is_plain else "A variational autoencoder",
        kind="rows of real numbers" if run.spec.is_rows else "images",
        of=f" of the data set {name}",
        # Not an import: the package imports its modules, and no module the package.
        # Nor what is installed: not the package, where it runs from a checkout.
        version=importlib.import_module("vae_jax").__version__,
        posterior=config.model.posterior,
        prior="no prior" if is_plain else f"prior `{config.model.prior}`",
        use=DECODED if is_plain else DRAWN,
        likelihood=config.model.likelihood,
        model=config.model.name,
        objective=config.objective.name,
        parameters=f"{size:,}",
        step=run.step,
        shape=", ".join(map(str, run.spec.image_shape)),
        command=command(config.to_dict(), defaults),
        jax=jax.__version__,
        digest=run.digest,
        data=_data(run, name, data),
        numbers=_table(listed, results or {}, "rows" if run.spec.is_rows else "images"),
        licence=licence,
    )


def command(config: Config, defaults: Fields) -> str:
    """The command that trains a config, with the fields that differ from the defaults.

    Args:
        config: all fields, nested.
        defaults: those of configs/default.py, flat.

    Returns:
        Shell text, a line for each flag. Fields that don't change the run are left out,
        and for paths stands PATH.
    """
    own = {f: v for f, v in flatten(config).items() if not identity.is_free(f)}
    if (name := without_path(own["data.name"])) != own["data.name"]:
        own["data.name"] = f"{name}PATH"
    if own.get("train.init_from"):
        own["train.init_from"] = "PATH"
    flags = map(shlex.quote, train_flags(own, defaults))
    lines = ["python -m vae_jax train --config=configs/default.py", *flags]
    return " \\\n    ".join([*lines, "--workdir=RUN"])


def _front(
    run: Run,
    dataset: str,
    listed: Sequence[Quantity],
    results: Mapping[str, float | None],
    license: str,
) -> str:
    """The metadata: YAML whose values are JSON, which YAML contains."""
    config = run.config
    task = ROWS_TASK if run.spec.is_rows else TASK
    tags = ["vae", "variational-autoencoder", "jax", "flax"]
    tags += [] if run.spec.is_rows else ["image-generation"]
    tags += [config.model.name, config.objective.name, config.model.posterior]
    metrics = [
        {"type": q.name, "name": q.label, "value": results[q.name]} for q in listed
    ]
    result = {
        "task": {"type": task},
        "dataset": {"type": dataset, "name": dataset, "split": "test"},
        "metrics": metrics,
    }
    name = run.workdir.resolve().name
    entries = {
        "license": license,
        "library_name": "vae_jax",
        "pipeline_tag": task,
        "tags": list(dict.fromkeys(tags)),
        **({"model-index": [{"name": name, "results": [result]}]} if metrics else {}),
    }
    return "\n".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in entries.items()
    )


def _numbers(results: Mapping[str, float | None]) -> list[Quantity]:
    """The quantities of the results that are drawn in reports, where there are any."""
    known = [key for key, value in results.items() if value is not None]
    return [
        quantity
        for section in sections(quantities(), known)
        if section.group.drawn and section.group.title != "Other numbers"
        for quantity in section.quantities
    ]


def _table(
    listed: Sequence[Quantity], results: Mapping[str, float | None], what: str
) -> str:
    if not listed:
        return "The run is not finished, so that nothing was measured.\n"
    lines = [f"On held-out {what}.", "", "| number | value | good |", "|---|---|---|"]
    for quantity in listed:
        error = results.get(quantity.error)
        shown = few_digits(results[quantity.name])
        shown += f" ± {few_digits(error, 2)}" if error is not None else ""
        lines.append(f"| {quantity.label} | {shown} | {quantity.good} |")
    return "\n".join(lines) + "\n"


def _data(run: Run, name: str, data: Json) -> str:
    form = form_of(run.spec.image_shape, run.spec.is_rows)
    return (
        f"{name}: {form}, {data['num_train']:,} for training,"
        f" {data['num_validation']:,} for validation and {data['num_test']:,} for"
        f" tests.\nDigest of them, a CRC-32: `{data['fingerprint']}`.\nInput of the"
        f" model: {describe_data(run)['preprocessing']}."
    )
