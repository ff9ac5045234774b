"""A night: the six steps in their order, each a Prefect task that runs a DVC stage or calls a step."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import flow, tags, task  # noqa: TID251
from prefect.runtime import flow_run  # noqa: TID251
from rich.console import Console

from cnn import wiring
from cnn.commands.data_check import PART, DataCheck, check_may_train
from cnn.commands.morning import show_morning
from cnn.commands.night_page import candidate_facts
from cnn.config.environment import Environment, read_environment
from cnn.config.params import Params
from cnn.config.reading import PARAMS_FILE, digest, preset_names, read_params, write_overrides
from cnn.durable import write_text
from cnn.errors import ServiceError
from cnn.nights import Night, Nights
from cnn.search.study import ended_without_winner, is_busy
from cnn.steps.promote import Verdict
from cnn.tracking.conventions import flat
from flows import artifacts, notices, stages
from flows.data_check import checked
from flows.patience import outlasting
from flows.reconcile import home_tag, reconcile_all
from flows.settings import checked_params


def run_night(overrides: Sequence[str]) -> int:
    """Run a night in this folder, or go on with the one that was interrupted; the exit code.

    Args:
        overrides: `key=value` words, written to `params.yaml` first: the night's lock must be true of the file. So is
            the next `search.seed`, when an earlier night has ended with these settings.

    Raises:
        UserError: The settings are wrong, or another night runs here.
    """
    environment, console = read_environment(), Console()
    try:
        with opened(overrides, environment) as night:
            code = _run(night, environment, console)
    except stages.StageError as error:  # the stage itself has said what is wrong
        return error.code
    if code == 0:
        kept = Nights(environment.home / "nights").read(night.name)
        show_morning(kept, read_params(), environment, console)
    return code


@contextmanager
def opened(overrides: Sequence[str], environment: Environment, *, patience_s: float = 2.0) -> Iterator[Night]:
    """The night of this folder while it runs: the one that was interrupted, or a new one.

    Words are written to `params.yaml`, for the stages read it; what `prepare` refuses is taken out again.

    Args:
        patience_s: How long to wait for another night under way.
    """
    nights, checkout = Nights(environment.home / "nights"), Path.cwd()
    stages.check_remote(environment.dvc_remote)
    stages.check_git_remote(environment.git_remote)
    with nights.in_checkout(checkout, patience_s=patience_s):
        overrides = [*overrides, *_next_seed(overrides, nights.all(), checkout)]
        params = checked_params(overrides)
        before = PARAMS_FILE.read_text(encoding="utf-8")
        written = write_overrides(PARAMS_FILE, overrides) if overrides else before
        if overrides:
            write_text(PARAMS_FILE, written)
        night = nights.open(checkout, digest(params))
        study = environment.studies / night.name
        if is_busy(study):
            received, change = f"the search of {night.name} still under way", "wait for it to end, or end it"
            raise ServiceError(study, received=received, expected="no process of a killed night", change=change)
        os.environ["CNN_NIGHT"] = night.name
        try:
            with nights.alive(night.name):
                yield night
        except stages.StageError as error:
            if error.refuses("prepare") and written != before:
                _put_back(before, written)
            raise
        finally:
            if ended_without_winner(study):  # going on would only say so again
                nights.write(nights.read(night.name), finished=True, verdict="no trial brought a model")


def _put_back(before: str, written: str) -> None:
    """The settings as they were before a night's words, unless somebody has changed them since."""
    if PARAMS_FILE.read_text(encoding="utf-8") == written:
        write_text(PARAMS_FILE, before)
        Console().print(f"{PARAMS_FILE} is as it was before this night", highlight=False)


def _next_seed(overrides: Sequence[str], nights: Sequence[Night], checkout: Path) -> list[str]:
    """The word that moves `search.seed` on when a night of this checkout with the settings as they are is over: the
    same search would find the same. None when there is no such night, or when the user names a seed.
    """
    now = datetime.now().astimezone()
    ended = {night.params_digest for night in nights if night.checkout == str(checkout) and night.is_over(now)}
    words: list[str] = []
    params = read_params(overrides=overrides)
    if not any(word.partition("=")[0].strip() == "search.seed" for word in overrides):
        while digest(params) in ended:
            words = [f"search.seed={params.search.seed + 1}"]
            params = read_params(overrides=[*overrides, *words])
    return words


def _run(night: Night, environment: Environment, console: Console) -> int:
    verb = "goes on" if night.seconds else "begins"
    console.print(f"{night.name} {verb}; starting Prefect, which takes half a minute", highlight=False)
    with tags(home_tag(environment)):
        state = nightly.with_options(flow_run_name=night.name)(night.name, return_state=True)
    mishap = state.result(raise_on_failure=False)
    if isinstance(mishap, BaseException):
        raise mishap
    return 0


@flow(name="nightly")
def nightly(night: str) -> None:
    """Pull or prepare the data, search, train, evaluate, register, promote, and save the night.

    A step that fails ends the night; its next start goes on from there.
    """
    params, environment = read_params(), read_environment()
    with artifacts.morning_page(night, params, environment):
        _parts(night, params, environment, _Clock(Nights(environment.home / "nights"), night))


def _parts(night: str, params: Params, environment: Environment, clock: "_Clock") -> None:
    clock.note(settings=flat(params.model_dump(mode="json", by_alias=True)))
    with clock.measures("reconcile"):
        reconcile(str(flow_run.id))
    with clock.measures("prepare"):
        prepare(environment.dvc_remote, may_have_changed=params.prepare.path is not None)
    with clock.measures(PART):
        found = check_data(night, params, environment)
        clock.note(data=found.document(), data_hash=found.data_hash)
        check_may_train(found, params.data_check)
    with clock.measures("search"):
        search()
    clock.note(searched=True)
    artifacts.leaderboard(night)
    with clock.measures("train"):
        train(may_have_changed=params.train.recipe not in ("winner", *preset_names()))
    with clock.measures("evaluate"):
        evaluate()
    clock.note(**candidate_facts())
    with clock.measures("register and promote"):
        register(params, environment)
        verdict = promote(params, environment)
        clock.decided(f"{params.register_.name} version {verdict.challenger}", verdict)
    artifacts.verdict(night, verdict)
    notices.about(verdict, params.register_.name, environment)
    with clock.measures("save"):
        saved = save(night, environment.dvc_remote, environment.git_remote)
    clock.note(finished=True, saved=saved)


@task
def reconcile(flow_run: str) -> None:
    """End what earlier nights left running."""
    for sentence in outlasting(lambda: reconcile_all(flow_run=flow_run)):
        Console().print(sentence, highlight=False)


@task(retries=2, retry_delay_seconds=30, retry_condition_fn=stages.is_no_users_mistake)
def prepare(remote: str, *, may_have_changed: bool) -> None:
    """From the DVC remote when it has the data, else from the source; a user's own file is read anew each night."""
    if remote and not may_have_changed:
        stages.pull(remote)
    stages.run_stage("prepare", force=may_have_changed)


@task
def check_data(night: str, params: Params, environment: Environment) -> DataCheck:
    """What has changed since the champion and the night before."""
    return checked(params, environment, night=night)


@task
def search() -> None:
    """Always searches: what was learnt yesterday says nothing about tonight's luck."""
    stages.run_stage("search", force=True)


@task
def train(*, may_have_changed: bool) -> None:
    """The winner, on all training images; a user's own recipe file is read anew each night."""
    stages.run_stage("train", force=may_have_changed)


@task
def evaluate() -> None:
    """The candidate, on the test images."""
    stages.run_stage("evaluate")


@task
def register(params: Params, environment: Environment) -> None:
    """The candidate becomes a version, and challenger."""
    from cnn.steps.register import register

    with wiring.tracker(environment, params.search.experiment, source="cnn nightly") as tracker:
        register(params, environment, tracker, wiring.registry(environment))


@task
def promote(params: Params, environment: Environment) -> Verdict:
    """The challenger becomes champion, or not."""
    from cnn.steps.promote import promote

    with wiring.tracker(environment, params.search.experiment, source="cnn nightly") as tracker:
        return promote(params, environment, tracker, wiring.registry(environment))


@task
def save(night: str, remote: str, git_remote: str) -> str:
    """The night becomes a DVC experiment of its name, and goes to the remotes that are set."""
    said = [stages.save(night)]
    said += [stages.push(remote)] if remote else []
    said += [stages.push_night(night, git_remote, read_environment().home_id())] if git_remote else []
    return "; ".join(said)


class _Clock:
    """Writes into the night's record how long its parts took, over all its starts."""

    def __init__(self, nights: Nights, name: str) -> None:
        self._nights, self._night = nights, nights.read(name)

    @contextmanager
    def measures(self, part: str) -> Iterator[None]:
        began, spent = time.monotonic(), _cpu_s()
        self._night = self._nights.write(self._night, part=part, reason="")
        left, reason = part, ""
        try:
            yield
            left = ""
        except Exception as error:
            reason = error.reason if isinstance(error, stages.StageError) else str(error) or type(error).__name__
            raise
        finally:
            seconds = {**self._night.seconds, part: self._night.seconds.get(part, 0.0) + time.monotonic() - began}
            cpu_s = {**self._night.cpu_s, part: self._night.cpu_s.get(part, 0.0) + _cpu_s() - spent}
            self._night = self._nights.write(self._night, seconds=seconds, cpu_s=cpu_s, part=left, reason=reason)

    def note(self, **facts: Any) -> None:
        self._night = self._nights.write(self._night, **facts)

    def decided(self, version: str, verdict: Verdict) -> None:
        """At once: whatever fails later, there may be a new champion."""
        self.note(version=version, verdict=verdict.sentence(), decision=verdict.document())


def _cpu_s() -> float:
    """Processor seconds of this process, and of those it started and waited for, and so on."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
