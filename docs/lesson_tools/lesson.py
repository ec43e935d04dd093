"""The lesson from its models to its texts."""

import pathlib

from ml_collections import ConfigDict

from docs.lesson_tools import drawn, text
from docs.lesson_tools.hourglass import WORDS
from docs.lesson_tools.measured import measure
from docs.lesson_tools.trained import train_all
from vae_jax.files import writing
from vae_jax.storage.records import write_json


def teach(config: ConfigDict, workdir: pathlib.Path, out: pathlib.Path) -> None:
    """Trains, measures, draws, and brings the texts beside `out` up to date."""
    models = train_all(config, workdir / config.data.name)
    numbers = measure(models)
    with writing(f"--out={out}"):
        out.mkdir(parents=True, exist_ok=True)
        drawn.draw_hourglasses(models, out)
        drawn.draw_images(models, out)
        drawn.draw_numbers(models, numbers, out)
        numbers |= drawn.draw_steps(models["beta1", 2], out)
        drawn.write_explorer(models, out)
        write_json(out / "lesson.json", numbers)
        for language in WORDS:
            path = out.with_name(f"{out.name}{language}.md")
            if path.is_file():
                link = f"{out.name}/lesson.json"
                filled = text.fill(path.read_text("utf-8"), numbers, link)
                path.write_text(filled, "utf-8")
