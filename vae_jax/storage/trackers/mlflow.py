"""MLflow: a run in the file store `mlruns`, or wherever MLFLOW_TRACKING_URI says."""

import os
import time
from collections.abc import Mapping

import numpy as np

from vae_jax.storage.trackers.base import BINS, PROJECT, About, Kind

ID_TAG = "vae_jax.run_id"
GROUP_TAG = "group"
MOST_PARAMS = 100  # that MLflow takes at a time


class MLflow:
    """A run of MLflow, by its client, which knows no "active" run.

    MLflow has no histograms: they are artifacts, `histograms/NAME/STEP.json`, with the
    counts and the edges of `numpy.histogram`.
    """

    def __init__(self, about: About) -> None:
        """Starts the run, or goes on with the one of the same id.

        Args:
            about: the run. All members of a grid lie in the store of the grid.
        """
        # Newer versions prefer a data base, for which mlflow-skinny lacks packages.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow import MlflowClient, entities  # an extra; slow to import

        self._entities = entities
        folder = (about.shared.absolute() / "mlruns").as_uri()
        uri = os.environ.get("MLFLOW_TRACKING_URI") or folder
        self._client = MlflowClient(uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = self._client.get_experiment_by_name(name)
        experiment = (
            self._client.create_experiment(name)
            if known is None
            else known.experiment_id
        )
        wanted = f"tags.`{ID_TAG}` = '{about.run_id}'"
        runs = self._client.search_runs([experiment], wanted)
        if runs:
            self._id = runs[0].info.run_id
            self._client.update_run(self._id, "RUNNING")
        else:
            tags = {ID_TAG: about.run_id}
            if about.group:
                tags[GROUP_TAG] = about.group
            run = self._client.create_run(experiment, run_name=about.name, tags=tags)
            self._id = run.info.run_id
        self._keep_fields(about.fields)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        metrics = [
            self._entities.Metric(name, float(value), now, step)
            for name, value in values.items()
        ]
        self._client.log_batch(self._id, metrics=metrics)

    def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        for name, image in images.items():
            self._client.log_image(
                self._id, image, key=name, step=step, synchronous=True
            )

    def histograms(self, step: int, values: Mapping[str, np.ndarray]) -> None:
        for name, array in values.items():
            counts, edges = np.histogram(array, BINS)
            content = {"counts": counts.tolist(), "edges": edges.tolist()}
            path = f"histograms/{name}/{step}.json"
            self._client.log_dict(self._id, content, path)

    def flush(self) -> None:
        """Nothing: each call writes its files before it returns."""

    def finish(self, succeeded: bool) -> None:
        status = "FINISHED" if succeeded else "FAILED"
        self._client.set_terminated(self._id, status)

    def _keep_fields(self, fields: Mapping[str, object]) -> None:
        """As params, which MLflow never changes: a new value becomes a tag."""
        texts = {name: str(value) for name, value in fields.items()}
        known = self._client.get_run(self._id).data.params
        new = [
            self._entities.Param(name, text)
            for name, text in texts.items()
            if name not in known
        ]
        for start in range(0, len(new), MOST_PARAMS):
            part = new[start : start + MOST_PARAMS]
            self._client.log_batch(self._id, params=part)
        for name, text in texts.items():
            if known.get(name, text) != text:
                self._client.set_tag(self._id, name, text)


KIND = Kind(MLflow, "mlflow", "mlflow")
