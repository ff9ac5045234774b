"""What a worker and the wiring make of an objective: networks measured, combinations refused."""

import json

import pytest
from making import all_digits

from cnn.config.environment import Environment
from cnn.config.objective import ObjectiveParams
from cnn.config.params import SearchParams
from cnn.config.recipe import Recipe
from cnn.errors import SpaceError
from cnn.records import Head, Outcome, Size, TrialState
from cnn.search import limits
from cnn.search.job import Job, JobEnded, JobId, JobSized, decode, encode, job_document, job_from
from cnn.steps.search import study_digest
from cnn.wiring import search_parts

SPACE = {"model.filters": {"type": "int", "low": 4, "high": 64}}
CHOICE = {"type": "choice", "values": ["none", "after_activation"]}
SIZE = Size(parameters=12, multiply_adds=34, latency_ms=0.5)


def params_of(**changes):
    return SearchParams.model_validate({"space": SPACE, "budget": {"trials": 3}} | changes)


REFUSED = {
    "random": ({"engine": "random", "objective": "accuracy_and_gap"}, "engine optuna"),
    "keras_tuner": ({"engine": "keras_tuner", "sampler": "random", "objective": "accuracy_and_gap"}, "engine optuna"),
    "cmaes": ({"sampler": "cmaes", "objective": "accuracy_and_gap"}, "tpe, nsgaii, random, qmc"),
    "gp": ({"sampler": "gp", "objective": {"of": "accuracy_under", "parameters": 5}}, "tpe, nsgaii, random, qmc"),
    "choices": ({"sampler": "cmaes", "space": {"model.batch_norm": CHOICE}}, "floats and ints only"),
    "grid": ({"sampler": "grid"}, "tpe, nsgaii, random, qmc, cmaes, gp"),
    "tpe": ({"engine": "keras_tuner", "sampler": "tpe"}, "random, bayesian, hyperband, grid"),
    "bayesian": ({"sampler": "bayesian"}, "tpe, nsgaii, random, qmc, cmaes, gp"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_an_engine_cannot_do_is_refused_in_one_line(case, tmp_path):
    settings, expected = REFUSED[case]
    params = params_of(**settings)

    class Whole:
        search = params

    # Already before a study could be opened, which would then be offered to be gone on with.
    with pytest.raises(SpaceError) as refused:
        search_parts(Whole, Environment(home=tmp_path), None)
    # It names the key, and what would work.
    line = str(refused.value)
    assert line.startswith("search.") and expected in line and "\n" not in line


def test_searches_after_the_score_alone_go_on_under_their_old_digest():
    base, head = Recipe().model_dump(mode="json"), Head(class_names=("a", "b"))
    plain = params_of()
    settings = plain.model_dump(mode="json", exclude={"objective"})
    # A study begun before there were objectives is found again: the default is no part of its identity.
    assert study_digest(plain, base, "data", head) == study_digest(params_of(objective="accuracy"), base, "data", head)
    assert "objective" not in settings
    # Any other objective is another search.
    digests = {
        study_digest(params_of(objective=objective), base, "data", head)
        for objective in ("accuracy", "accuracy_and_gap", {"of": "accuracy_under", "parameters": 5})
    }
    assert len(digests) == 3


def test_a_size_travels_with_its_job_and_back(tmp_path):
    job = Job(id=JobId(3), recipe={}, seed=1, folder=tmp_path, size=SIZE)
    # To the worker, so that it need not measure; from it, before the first epoch.
    assert job_from(json.loads(json.dumps(job_document(job)))) == job
    assert decode(encode(JobSized(id=job.id, size=SIZE))) == JobSized(id=job.id, size=SIZE)
    # An end is told from a size.
    ended = JobEnded(id=job.id, outcome=Outcome(number=3, state=TrialState.INFEASIBLE, reason="too large"))
    assert decode(encode(ended)) == ended


def test_each_measure_is_held_against_its_own_limit():
    # At the limit is within it.
    assert limits.reason(SIZE, {"parameters": 12, "multiply_adds": 34, "latency_ms": 0.5}) == ""
    assert limits.reason(SIZE, {"latency_ms": 0.25, "parameters": 10}) == (
        "0.5 ms an image, over 0.25 and 12 parameters, over 10"
    )
    # What nobody measured breaks no limit.
    assert limits.excess(Size(parameters=1, multiply_adds=1), {"latency_ms": 0.1}) == {}
    assert limits.excess(SIZE, {"parameters": 6}) == {"parameters": 1.0}


def test_the_nearest_miss_is_the_one_that_is_least_over():
    far, near, fits = (
        Outcome(number=n, state=TrialState.INFEASIBLE, reason="", size=Size(parameters=size, multiply_adds=1))
        for n, size in enumerate((90, 60, 40))
    )
    assert limits.nearest([far, near, fits], {"parameters": 50}) == near
    assert limits.nearest([fits], {"parameters": 50}) is None


def test_latency_is_that_of_one_image_and_grows_with_the_network():
    from cnn.models.latency import latency_ms

    shape, head = (*all_digits()[0].shape[1:], 1), Head(class_names=tuple("0123456789"))
    small = Recipe.model_validate({"model": {"blocks": 1, "filters": 4}})
    large = Recipe.model_validate({"model": {"blocks": 2, "convolutions": 3, "filters": 256}})
    # Milliseconds, not seconds or nanoseconds; a network of two hundred times the multiplications takes longer.
    assert 0.01 < latency_ms(small, shape, head) < latency_ms(large, shape, head) < 5000


def test_limits_are_by_the_names_of_a_size():
    # A measure that is misspelt would never be measured.
    given = ObjectiveParams(of="accuracy_under", parameters=1, multiply_adds=1, latency_ms=1.0).limits
    assert given.keys() == Size.__dataclass_fields__.keys()
