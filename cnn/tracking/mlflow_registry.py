"""The model registry of MLflow.

The model's file goes in as it is, byte for byte: MLflow's own `log_model` would save it anew, and keep global state.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from cnn.config.environment import Environment
from cnn.errors import ServiceError
from cnn.tracking.client import answering, connect, find_run, key_elsewhere, pages
from cnn.tracking.registry import Candidate, Entry, Signature, Version, check_was_kept, checked_file, lost_file
from cnn.tracking.server import without_password

_LONGEST_DESCRIPTION = 5000  # characters
_MODEL = "data/model.keras"
_KEPT = "kept"
_LARGEST_NUMBER = 2**31 - 1  # of a version: databases behind MLflow keep it in four bytes, and fail on more
_HOME = "home"  # a version's tag: the CNN_HOME that registered it, to which its `run_key` belongs
_LOG = ".decisions"  # no name of ours has a dot, so none of them can be a log
_ENTRY, _SETTLED = "decision", "settled"
_VERSIONS_TAG = "mlflow.modelVersions"  # by it the UI links a logged model to its versions


class MlflowRegistry:
    """`Registry` on the environment's tracking address."""

    def __init__(self, environment: Environment) -> None:
        self._environment, self._uri = environment, environment.mlflow_uri
        self._client = answering(lambda: connect(environment), self._uri)

    def register(self, name: str, candidate: Candidate) -> Version:
        version: Version = self._ask(lambda: self._register(name, candidate))
        return version

    def version_by_alias(self, name: str, alias: str) -> Version | None:
        return self._found(lambda: self._client.get_model_version_by_alias(name, alias))

    def version(self, name: str, number: int) -> Version | None:
        if number > _LARGEST_NUMBER:
            return None
        return self._found(lambda: self._client.get_model_version(name, str(number)))

    def versions(self, name: str = "") -> tuple[Version, ...]:
        found = self._search(f"name = '{name}'" if name else None)
        return tuple(version for version in found if name or not version.name.endswith(_LOG))

    def _search(self, condition: str | None) -> list[Version]:
        """In an order that no change between two pages upsets, as MLflow's own would be by each tag that is set."""
        order = ["name ASC", "version_number ASC"]
        search = partial(self._client.search_model_versions, condition, max_results=1000, order_by=order)
        return [self._version(found) for found in self._ask(lambda: pages(search))]

    def describe(self, version: Version, text: str) -> None:
        update = self._client.update_model_version
        self._ask(lambda: update(version.name, str(version.number), description=text[:_LONGEST_DESCRIPTION]))

    def _found(self, call: Callable[[], Any]) -> Version | None:
        from mlflow.exceptions import MlflowException  # noqa: TID251

        try:
            return self._version(self._ask(call))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def set_alias(self, version: Version, alias: str) -> None:
        self._put(lambda: self._client.set_registered_model_alias(version.name, alias, str(version.number)))

    def set_tags(self, version: Version, tags: Mapping[str, str]) -> None:
        set_tag = partial(self._client.set_model_version_tag, version.name, str(version.number))
        for key, value in tags.items():
            self._put(partial(set_tag, key, value))

    def signature(self, version: Version) -> Signature | None:
        from mlflow.models import Model  # noqa: TID251

        with tempfile.TemporaryDirectory() as folder:
            kept = Model.load(str(self._download(version, "MLmodel", Path(folder)))).signature
        if kept is None or len(kept.inputs.inputs) != 1 or len(kept.outputs.inputs) != 1:
            return None
        (taken,), (given,) = kept.inputs.inputs, kept.outputs.inputs
        shape = tuple(int(side) for side in taken.shape[1:])
        return Signature(image_type=str(taken.type), image_shape=shape, n_outputs=int(given.shape[-1]))

    def entries(self, name: str, after: int = 0) -> tuple[Entry, ...]:
        return tuple(
            Entry(position=version.number, text=version.tags.get(_ENTRY, ""), settled=_SETTLED in version.tags)
            for version in self._search(f"name = '{name + _LOG}' and version_number > {after}")
        )

    def append_entry(self, name: str, text: str, summary: str) -> None:
        """A version of a registered model of its own: MLflow gives a number once, whoever asks at the same time."""
        from mlflow.exceptions import MlflowException  # noqa: TID251

        def append() -> Any:
            make = self._client.create_model_version
            return make(name + _LOG, f"decision:/{name}", tags={_ENTRY: text}, description=summary)

        try:
            self._ask(append)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            self._ask(lambda: self._make_name(name + _LOG))
            self._ask(append)

    def settle_entry(self, name: str, position: int) -> None:
        self._put(lambda: self._client.set_model_version_tag(name + _LOG, str(position), _SETTLED, "yes"))

    def download(self, version: Version, folder: Path) -> Path:
        return checked_file(self._download(version, _MODEL, folder), version, "sha256")

    def download_file(self, version: Version, name: str, folder: Path) -> Path:
        check_was_kept(version, name)
        return checked_file(self._download(version, f"{_KEPT}/{name}", folder), version, f"sha256.{name}")

    def _register(self, name: str, candidate: Candidate) -> Version:
        home = self._environment.home_id()
        tags = candidate.version_tags() | {_HOME: home}
        self._make_name(name)
        condition = f"name = '{name}' and tags.registration = '{tags['registration']}'"
        if found := self._client.search_model_versions(condition):
            return self._version(found[0])
        run = find_run(self._client, candidate.run_key, home)
        if run is None:
            change = "let the tracker deliver it (cnn doctor --reconcile) and register again"
            address = without_password(self._uri)
            raise ServiceError(address, received=f"no run {candidate.run_key}", expected="it", change=change)
        model = self._keep_model(name, candidate, run, tags)
        return self._make_version(name, model, run, tags)

    def _make_name(self, name: str) -> None:
        from mlflow.exceptions import MlflowException  # noqa: TID251

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _keep_model(self, name: str, candidate: Candidate, run: Any, tags: Mapping[str, str]) -> Any:
        """Upload the model as a logged model of its run, once: a version whose creation failed finds it again."""
        ids = [run.info.experiment_id]
        condition = f"tags.registration = '{tags['registration']}'"
        for model in self._client.search_logged_models(ids, condition):
            if model.status.name == "READY":
                return model
        model = self._client.create_logged_model(
            *ids,
            name=name,
            source_run_id=run.info.run_id,
            tags=tags,
            params=dict(candidate.params),
            model_type="classifier",
        )
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            write_mlflow_model(folder, candidate, model, run.info.run_id)
            self._client.log_model_artifacts(model.model_id, str(folder))
        self._log_metrics(candidate, run, model.model_id)
        return self._client.finalize_logged_model(model.model_id, "READY")

    def _log_metrics(self, candidate: Candidate, run: Any, model_id: str) -> None:
        """Figures on the model's page; the run's start as their time makes saying them twice harmless."""
        from mlflow.entities import LoggedModelOutput, Metric  # noqa: TID251

        self._client.log_outputs(run.info.run_id, [LoggedModelOutput(model_id, step=0)])
        metrics = [
            Metric(name, value, run.info.start_time, 0, model_id=model_id) for name, value in candidate.metrics.items()
        ]
        if metrics:
            self._client.log_batch(run.info.run_id, metrics=metrics)

    def _make_version(self, name: str, model: Any, run: Any, tags: Mapping[str, str]) -> Version:
        """Its source is the model's place itself: a `models:/` address is resolved by MLflow's global default."""
        made = self._client.create_model_version(
            name, model.artifact_location, run_id=run.info.run_id, tags=dict(tags), model_id=model.model_id
        )
        links = json.dumps([{"name": name, "version": made.version}])
        self._client.set_logged_model_tags(model.model_id, {_VERSIONS_TAG: links})
        return self._version(made)

    def _download(self, version: Version, path: str, folder: Path) -> Path:
        from mlflow.artifacts import download_artifacts  # noqa: TID251
        from mlflow.exceptions import MlflowException  # noqa: TID251

        place = f"{version.source}/{path}"
        try:
            return Path(self._ask(lambda: download_artifacts(place, dst_path=str(folder), tracking_uri=self._uri)))
        except (MlflowException, ServiceError) as error:  # of a lost file each kind of store says something else
            if self._is_there(place):
                raise
            raise lost_file(version, Path(path).name) from error

    def _is_there(self, place: str) -> bool:
        from mlflow.artifacts import list_artifacts  # noqa: TID251

        folder, _, name = place.rpartition("/")
        found = self._ask(lambda: list_artifacts(folder, tracking_uri=self._uri))
        return any(file.path.rpartition("/")[2] == name for file in found)

    def _version(self, found: Any) -> Version:
        """A version whose run can be found from here; one that cnn did not register has none, and no home."""
        tags = dict(found.tags)
        home = tags.get(_HOME, "")
        if home and "run_key" in tags and home != self._environment.home_id():
            tags["run_key"] = key_elsewhere(tags["run_key"], home)
        return Version(name=found.name, number=int(found.version), source=found.source, tags=tags)

    def _put(self, call: Callable[[], Any]) -> None:
        """Of two processes that set one new tag at once MLflow refuses the second: by then it can be changed."""
        from mlflow.exceptions import MlflowException  # noqa: TID251

        try:
            self._ask(call)
        except MlflowException as error:
            if error.error_code != "BAD_REQUEST":
                raise
            self._ask(call)

    def _ask(self, call: Callable[[], Any]) -> Any:
        return answering(call, self._uri)


def write_mlflow_model(folder: Path, candidate: Candidate, model: Any, run_id: str) -> None:
    """A folder that `mlflow models serve` takes: the model's own bytes, its signature, labels, requirements."""
    import numpy as np
    from mlflow import keras as flavor  # noqa: TID251
    from mlflow.models import Model, ModelSignature  # noqa: TID251
    from mlflow.types import Schema, TensorSpec  # noqa: TID251

    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, *candidate.image_shape))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, len(candidate.labels)))]),
    )
    folder.mkdir(parents=True)
    flavor.save_model(
        _SavedModel(candidate.model),
        str(folder),
        mlflow_model=Model(
            artifact_path=model.artifact_location, model_uuid=model.model_id, run_id=run_id, model_id=model.model_id
        ),
        signature=signature,
        input_example=candidate.example,
        pip_requirements=[f"{name}=={installed_version(name)}" for name in ("keras", "tensorflow", "numpy")],
        metadata={"labels": list(candidate.labels)},
    )
    for path in candidate.files:
        (folder / _KEPT).mkdir(exist_ok=True)
        shutil.copyfile(path, folder / _KEPT / path.name)


class _SavedModel:
    """A model that lies in a file: saving it is copying."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, path: str) -> None:
        shutil.copyfile(self._path, path)
