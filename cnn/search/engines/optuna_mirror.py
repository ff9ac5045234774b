"""The study as Optuna's own storage shows it, so that optuna-dashboard can follow a search live.

It is a mirror: nothing is ever decided from what it holds, and `restore` mends it after the ledger. A storage that
can't be opened or restored is said before a search begins; one that fails afterwards stops the mirror, not the search.
"""

import logging
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import optuna  # noqa: TID251
import sqlalchemy

from cnn.durable import made_alone, sqlite_mishap
from cnn.errors import ConfigError, IntegrityError, ServiceError, SpaceError, UserError
from cnn.records import Outcome, Proposal
from cnn.search.engines.optuna_goal import Goal
from cnn.search.engines.searcher import StoredTrial
from cnn.tracking.server import check_driver, without_password

_log = logging.getLogger(__name__)

_NUMBER = "number"
_TIMEOUT_S = 30.0

Distributions = Mapping[str, optuna.distributions.BaseDistribution]


class StudyMirror:
    """Writes each proposal, report and ending as one transaction, in a thread of its own: no epoch waits for it.

    A trial is found by our number, kept as a user attribute; Optuna's own numbers may have holes.

    Args:
        goal: The objective in Optuna's terms.

    Raises:
        IntegrityError: The sqlite file is torn.
        ServiceError: The storage doesn't answer, or another program holds the sqlite file.
        SpaceError: A study of this name has another space or another objective.
    """

    def __init__(self, url: str, study_name: str, *, distributions: Distributions, goal: Goal) -> None:
        self._address = _address(url)
        self._study_name = study_name
        self._distributions = distributions
        self._goal = goal
        self._running: dict[int, int] = {}
        self._stopped = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="optuna-mirror")
        with _answering(self._address):
            self._storage = _open(url)
            weakref.finalize(self, self._storage.engine.dispose)
            study = optuna.create_study(
                storage=self._storage, study_name=study_name, directions=goal.directions, load_if_exists=True
            )
            if [direction.name.lower() for direction in study.directions] != goal.directions:
                raise self._another("objective")
            self._study_id = self._storage.get_study_id_from_name(study.study_name)

    def restore(self, trials: Sequence[StoredTrial]) -> None:
        """Make the storage say what the ledger says; what only the storage knows to be under way is failed."""
        with _answering(self._address):
            rows = self._storage.get_all_trials(self._study_id, deepcopy=False)
            mine = {row.user_attrs.get(_NUMBER): row for row in rows}
            restored = {self._restore(trial, mine.get(trial.proposal.number)) for trial in trials}
            for row in rows:
                if not row.state.is_finished() and row._trial_id not in restored:
                    self._storage.set_trial_state_values(row._trial_id, optuna.trial.TrialState.FAIL)

    def ask(self, proposal: Proposal) -> None:
        """Raises SpaceError when a study of this name has another space."""
        self._follow(lambda: self._add(proposal)).result()

    def report(self, number: int, step: int, score: float) -> None:
        """Written soon; by the return of the next `ask` or `tell` at the latest."""
        self._follow(lambda: self._report(number, step, score))

    def tell(self, outcome: Outcome) -> None:
        self._follow(lambda: self._tell(outcome)).result()

    def _follow(self, write: Callable[[], object]) -> "Future[None]":
        return self._writer.submit(self._write, write)

    def _write(self, write: Callable[[], object]) -> None:
        """Write while the storage takes it; what it misses after its first failure is restored by the next start."""
        if self._stopped:
            return
        try:
            with _answering(self._address):
                write()
        except SpaceError:
            raise
        except Exception as error:  # whatever it is, as a study deleted in the dashboard, the search goes on
            self._stopped = True
            fault = not isinstance(error, UserError)
            _log.warning("optuna-dashboard does not follow this search any more: %s", error, exc_info=fault)

    def _report(self, number: int, step: int, score: float) -> None:
        if number in self._running:
            self._storage.set_trial_intermediate_value(self._running[number], step, score)

    def _tell(self, outcome: Outcome) -> None:
        trial_id = self._running.pop(outcome.number, None)
        if trial_id is not None:
            for name, part in self._goal.constraints(outcome).items():
                self._storage.set_trial_system_attr(trial_id, name, part)
            self._storage.set_trial_state_values(trial_id, *self._goal.shown(outcome))

    def _restore(self, trial: StoredTrial, row: optuna.trial.FrozenTrial | None) -> int:
        """Bring a row to what the ledger says; the row's id."""
        known: set[int] = set()
        if row is None or row.params != dict(trial.proposal.values):
            trial_id = self._add(trial.proposal)
        elif row.state.is_finished():
            # Told here, but the kill came before the ledger had it: the same end will be told again.
            return int(row._trial_id)
        else:
            trial_id = self._running[trial.proposal.number] = int(row._trial_id)
            known = set(row.intermediate_values)
        for epoch in trial.curve:
            if epoch.epoch + 1 not in known:
                self._report(trial.proposal.number, epoch.epoch + 1, epoch.val_score)
        if trial.outcome is not None:
            self._tell(trial.outcome)
        return trial_id

    def _add(self, proposal: Proposal) -> int:
        template = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=dict(proposal.values),
            distributions={path: self._distributions[path] for path in proposal.values},
            user_attrs={_NUMBER: proposal.number, "epochs": proposal.epochs},
        )
        try:
            trial_id = int(self._storage.create_new_trial(self._study_id, template_trial=template))
        except ValueError as error:
            raise self._another("space") from error
        self._running[proposal.number] = trial_id
        return trial_id

    def _another(self, what: str) -> SpaceError:
        return SpaceError(
            f"study {self._study_name}",
            received=f"another {what} than the one it was begun with",
            expected=f"one {what} a study",
            change="give the study another name",
        )


def make_storage(url: str) -> None:
    """Create the tables of a storage that lacks them: optuna-dashboard opens only one that has them.

    Raises:
        ConfigError: It is no address of a database, or the database's driver is not installed.
        ServiceError: The database does not answer.
        StorageError: Its folder cannot be written.
    """
    with _answering(_address(url)):
        _open(url).engine.dispose()


def _open(url: str) -> optuna.storages.RDBStorage:
    address = sqlalchemy.engine.make_url(url)
    if address.get_backend_name() != "sqlite":
        check_driver(url, "CNN_STUDY_STORAGE")
        return optuna.storages.RDBStorage(url)
    if address.database in (None, "", ":memory:"):  # one connection, or each thread would have a database of its own
        shared = {"poolclass": sqlalchemy.pool.StaticPool, "connect_args": {"check_same_thread": False}}
        return optuna.storages.RDBStorage(url, engine_kwargs=shared)
    path = Path(str(address.database))
    with made_alone(path):
        _check(path)
        return optuna.storages.RDBStorage(url, engine_kwargs={"creator": lambda: _connection(path)})


def _connection(path: Path) -> sqlite3.Connection:
    """Readers don't wait for the writer (WAL), and a commit isn't fsynced: a power cut may cost the newest few, which
    the ledger still has; a killed process costs nothing.
    """
    connection = sqlite3.connect(path, timeout=_TIMEOUT_S, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _check(path: Path) -> None:
    with closing(_connection(path)) as connection:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise _damaged(path, found)


@contextmanager
def _answering(address: str) -> Iterator[None]:
    """Whatever a storage has to say against it becomes one line."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _refusal(address, error) from error
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise _refusal(address, _root(error)) from error


def _address(url: str) -> str:
    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError as error:
        change = "set CNN_STUDY_STORAGE to a database URL"
        raise ConfigError(
            "CNN_STUDY_STORAGE", received=without_password(url), expected="sqlite:///FILE", change=change
        ) from error


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _refusal(address: str, error: BaseException) -> UserError:
    if isinstance(error, sqlite3.DatabaseError):  # moving a mirror away loses nothing, whatever is wrong with it
        return sqlite_mishap(address, error) or _damaged(address, error)
    change = "start it or change CNN_STUDY_STORAGE"
    return ServiceError(address, received=error, expected="a study storage that answers", change=change)


def _damaged(address: object, received: object) -> IntegrityError:
    change = "move it away: the next start writes it again from the ledger"
    return IntegrityError(address, received=received, expected="a whole sqlite file", change=change)
