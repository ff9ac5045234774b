"""Verdicts on real runs whose diagnosis is known from how they were made."""

import pytest

FLOOR = 0.9


@pytest.fixture(scope="module")
def answers(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(request.config.rootpath / "tests/benchmarks"))
        import bench_diagnosis
        import labelled_training

        return bench_diagnosis, bench_diagnosis.verdicts(labelled_training.read_curves())


def pairs_of(answers, part):
    return [(run["label"], verdict) for run, verdict in answers[1] if run["part"] == part]


def test_there_are_two_hundred_real_runs_and_two_parts_that_were_fixed_before(answers):
    import labelled_runs

    runs = [run for run, _ in answers[1]]
    assert len(runs) >= 200
    # The part of a run is a function of its name alone: none can have been moved to where it fits better.
    assert [run["part"] for run in runs] == [labelled_runs.part_of(run["name"]) for run in runs]


@pytest.mark.parametrize("part", ["tuning", "held-out"])
def test_nine_in_ten_verdicts_are_right(answers, part):
    rate = answers[0].accuracy_of(pairs_of(answers, part))
    # Also on the part that no rule was tuned on.
    assert rate.fraction >= FLOOR, str(rate)


def test_precision_and_recall_hold_over_the_verdicts_on_the_held_out_part(answers):
    rates = answers[0].precision_and_recall(pairs_of(answers, "held-out"))
    precision, recall = ([rate.fraction for rate in column] for column in zip(*rates.values(), strict=True))
    # Each verdict weighs the same, however many runs bear it.
    assert sum(precision) / len(precision) >= FLOOR and sum(recall) / len(recall) >= FLOOR
    # None is so poor that it had better not be given.
    assert min(precision) > 0.7 and min(recall) > 0.6
