"""The deployments of `infra/prefect.yaml`, and the work pool that they are for."""

import logging
import os
from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client  # noqa: TID251
from prefect.client.schemas.actions import WorkPoolCreate  # noqa: TID251
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName  # noqa: TID251
from prefect.client.schemas.objects import ConcurrencyLimitConfig  # noqa: TID251
from prefect.client.schemas.sorting import DeploymentSort  # noqa: TID251
from prefect.deployments.runner import RunnerDeployment  # noqa: TID251
from prefect.exceptions import ObjectAlreadyExists  # noqa: TID251
from prefect.schedules import Schedule  # noqa: TID251
from prefect.utilities.templating import apply_values  # noqa: TID251
from prefect.workers.process import ProcessWorker  # noqa: TID251
from pydantic import ValidationError  # noqa: TID251
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cnn.errors import ConfigError
from cnn.service.plans import POOL, name_in

log = logging.getLogger(__name__)

_MOST = 200  # deployments; as many as the server gives at once


def deploy(file: Path, pool: str) -> int:
    """Have Prefect take the deployments of a file in Prefect's own words, in a pool that is made when it is missing.

    What the file names no longer is removed from the pool: its schedule would go on. Its flow runs stay.
    `prefect deploy --all` of Prefect 3.8 takes the first and stops: it asks its own server for workers with a limit of
    null, which the server refuses.

    Returns:
        Exit code 0.

    Raises:
        ConfigError: The file is damaged, or Prefect would refuse a deployment.
    """
    made = deployments(file, pool)
    _make_pool(pool)
    for deployment in made:
        deployment.apply()
    _remove_others(pool, {deployment.name for deployment in made})
    return 0


def deployments(file: Path, pool: str = POOL) -> list[RunnerDeployment]:
    """The deployments of a file, named as in that pool; `{{ $PWD }}` in it is the folder that its flows run in.

    Raises:
        ConfigError: The file is damaged, or Prefect would refuse a deployment.
    """
    try:
        document = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
        entries: list[Mapping[str, Any]] = document["deployments"]
        return [_deployment(_filled_in(entry), pool) for entry in entries]
    except (YAMLError, ValidationError, ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
        received, expected = f"{type(error).__name__}: {error}", "deployments in Prefect's words"
        raise ConfigError(file, received=received, expected=expected, change=f"edit {file}") from error


def _filled_in(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """An entry with environment variables in the places of `{{ $NAME }}`."""
    filled = apply_values(dict(entry), dict(os.environ), remove_notset=False)
    return filled if isinstance(filled, Mapping) else {}


def _deployment(entry: Mapping[str, Any], pool: str) -> RunnerDeployment:
    words, limit = entry["work_pool"], entry.get("concurrency_limit")
    return RunnerDeployment.from_entrypoint(
        entry["entrypoint"],
        name=name_in(pool, entry["name"]),
        schedules=[Schedule(**schedule) for schedule in entry.get("schedules", [])],
        concurrency_limit=ConcurrencyLimitConfig(**limit) if isinstance(limit, Mapping) else limit,
        parameters=entry.get("parameters"),
        description=entry.get("description"),
        tags=entry.get("tags"),
        work_pool_name=name_in(pool, words["name"]),
        job_variables=words.get("job_variables"),
    )


def _remove_others(pool: str, names: Set[str]) -> None:
    ours = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    with get_client(sync_client=True) as client:
        # the server refuses the null that the client sends for a limit or an order that is not named
        for deployment in client.read_deployments(work_pool_filter=ours, limit=_MOST, sort=DeploymentSort.NAME_ASC):
            if deployment.name not in names:
                client.delete_deployment(deployment.id)
                log.warning("deployment %s is removed: the file names it no longer", deployment.name)


def _make_pool(name: str) -> None:
    pool = WorkPoolCreate(
        name=name, type=ProcessWorker.type, base_job_template=ProcessWorker.get_default_base_job_template()
    )
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_work_pool(pool)
