"""The settings of this machine: `CNN_` environment variables, each with an embedded default."""

import os
import re
import secrets
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from cnn.config.frozen import Frozen
from cnn.durable import exclusive, write_text
from cnn.errors import ConfigError, IntegrityError

_VARIABLES = {
    "home": "CNN_HOME",
    "tracking_uri": "CNN_TRACKING_URI",
    "study_storage": "CNN_STUDY_STORAGE",
    "data_cache": "CNN_DATA_CACHE",
    "dvc_remote": "CNN_DVC_REMOTE",
    "git_remote": "CNN_GIT_REMOTE",
    "night": "CNN_NIGHT",
    "mlflow_port": "CNN_MLFLOW_PORT",
    "prefect_port": "CNN_PREFECT_PORT",
    "optuna_port": "CNN_OPTUNA_PORT",
    "notify": "CNN_NOTIFY",
    "notify_about": "CNN_NOTIFY_ABOUT",
}


class Event(StrEnum):
    """What a notice may be sent about."""

    CHAMPION_CHANGED = "champion-changed"
    NIGHT_FAILED = "night-failed"
    DATA_CHECK_FAILED = "data-check-failed"
    GAP_TOO_WIDE = "gap-too-wide"


_Port = Annotated[int, Field(ge=1, le=65_535)]


class Environment(Frozen):
    """Where this machine keeps what lies outside the checkout. Empty strings mean the embedded default.

    Args:
        home: Folder of databases, studies, checkpoints, downloads, spool.
        tracking_uri: MLflow server or database; empty: `HOME/mlflow.db`.
        study_storage: Optuna storage URL; empty: `HOME/optuna.db`.
        data_cache: Folder of downloaded archives; empty: `HOME/downloads`.
        dvc_remote: Name of the DVC remote nights are pulled from and pushed to; empty: none.
        git_remote: Name of the git remote to which a night's DVC experiment is pushed; empty: none.
        night: Name of the night this process works for; set by the nightly flow; empty: none.
        mlflow_port: Where the service's MLflow listens, on loopback.
        prefect_port: Where its Prefect does.
        optuna_port: Where its optuna-dashboard does.
        notify: Whom notices go to: words, each a Prefect block as `slack-webhook/NAME` or an address of apprise as
            `mailto://…`; empty: nobody.
        notify_about: Values of `Event`; empty: all of them.
    """

    home: Path = Field(default_factory=lambda: Path.home() / ".cnn-overnight")
    tracking_uri: str = ""
    study_storage: str = ""
    data_cache: str = ""
    dvc_remote: str = ""
    git_remote: str = ""
    night: str = ""
    mlflow_port: _Port = 5000
    prefect_port: _Port = 4200
    optuna_port: _Port = 8080
    notify: str = ""
    notify_about: str = ""

    @property
    def service(self) -> Path:
        """Logs and state of the service."""
        return self.home / "service"

    @property
    def prefect_home(self) -> Path:
        """Prefect's own database and settings."""
        return self.home / "prefect"

    @property
    def mlflow_uri(self) -> str:
        return self.tracking_uri or f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """Where MLflow's artifacts lie when no server keeps them."""
        return self.home / "artifacts"

    @property
    def optuna_url(self) -> str:
        return self.study_storage or self._own_optuna_url

    @property
    def shares_studies(self) -> bool:
        """Whether studies of other homes may be shown from the same storage."""
        return self.optuna_url != self._own_optuna_url

    @property
    def downloads(self) -> Path:
        return Path(self.data_cache) if self.data_cache else self.home / "downloads"

    @property
    def studies(self) -> Path:
        """One folder a study: its ledger, its trials' checkpoints, its workers' logs."""
        return self.home / "studies"

    @property
    def fingerprints(self) -> Path:
        """What is known of data that were prepared once: `cnn.data.quality.fingerprint`."""
        return self.home / "data"

    @property
    def _own_optuna_url(self) -> str:
        return f"sqlite:///{self.home / 'optuna.db'}"

    def home_id(self) -> str:
        """Eight hex digits that tell this home's runs from those of others on one server; made when first asked for.

        Raises:
            IntegrityError: The file that keeps it is damaged.
            StorageError: It cannot be written.
        """
        path = self.home / "id"
        if not path.exists():
            with exclusive(path.with_name("id.lock"), what="the making of its id", patience_s=30.0):
                if not path.exists():  # two processes start at once: the second takes what the first has made
                    write_text(path, f"{secrets.token_hex(4)}\n")
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        if not re.fullmatch("[0-9a-f]{8}", text):
            change = "put a copy of it back, or remove it: its earlier runs are then taken for another home's"
            raise IntegrityError(path, received="a damaged id", expected="eight hex digits", change=change)
        return text


def read_environment() -> Environment:
    """The settings of this process.

    Raises:
        ConfigError: A variable starts with `CNN_` and is none of ours or out of range, or a file lies where the home
            should be.
    """
    unknown = sorted(name for name in os.environ if name.startswith("CNN_") and name not in _VARIABLES.values())
    if unknown:
        known = ", ".join(_VARIABLES.values())
        raise ConfigError(unknown[0], received="an unknown setting", expected=f"one of {known}", change="unset it")
    given = {field: os.environ[name] for field, name in _VARIABLES.items() if os.environ.get(name)}
    environment = _validated(given)
    home = environment.home.expanduser().absolute()
    there = next(path for path in (home, *home.parents) if path.exists())
    if not there.is_dir():
        raise ConfigError("CNN_HOME", received=f"{there}, a file", expected="a folder", change="name another place")
    return environment.model_copy(update={"home": home})


def _validated(given: dict[str, str]) -> Environment:
    for word in given.get("notify_about", "").split():
        if word not in [*Event]:
            expected, change = f"words out of {', '.join(Event)}", "set it anew or unset it"
            raise ConfigError("CNN_NOTIFY_ABOUT", received=word, expected=expected, change=change)
    try:
        return Environment.model_validate(given)
    except ValidationError as error:
        name = _VARIABLES[str(error.errors()[0]["loc"][0])]
        raise ConfigError(
            name, received=os.environ[name], expected="a port, 1 to 65535", change="set it anew or unset it"
        ) from error
