"""Whichever bound ends first ends the search, and no trial starts that cannot finish."""

from cnn.config.params import BudgetParams
from cnn.records import Cost
from cnn.search.budget import Budget


def budget(n_workers=2, n_final_runs=0, elapsed_s=0.0, **limits):
    return Budget(
        BudgetParams(**{"epochs": 10} | limits), n_workers=n_workers, n_final_runs=n_final_runs, elapsed_s=elapsed_s
    )


def cost(wall_s=10.0, cpu_s=10.0, epochs=10):
    return Cost(wall_s=wall_s, cpu_s=cpu_s, epochs=epochs)


def test_the_number_of_trials_binds():
    # Five were asked for, five may be.
    assert budget(trials=5).admits(4, [])
    assert not budget(trials=5).admits(5, [])


def test_the_first_trial_starts_whatever_it_will_cost():
    # Nothing is measured yet, so nothing is known against it.
    assert budget(minutes=0.01).admits(0, [])


def test_a_trial_that_cannot_finish_on_the_clock_is_not_started():
    # A trial takes 10 s; 30 s are left, then 6 s.
    assert budget(minutes=1, elapsed_s=30).admits(1, [cost()])
    assert not budget(minutes=1, elapsed_s=54).admits(1, [cost()])


def test_a_trial_is_expected_to_take_all_its_epochs():
    # A pruned trial of 2 epochs took 4 s: one of 10 epochs takes 20 s.
    pruned = cost(wall_s=4, epochs=2)
    assert budget(minutes=1, elapsed_s=39).admits(1, [pruned])
    assert not budget(minutes=1, elapsed_s=41).admits(1, [pruned])


def test_time_for_the_finalists_is_kept_back():
    # Three final runs on two workers take two turns of 10 s, a quarter more to be sure, after the trial's own 10 s.
    assert budget(minutes=1, elapsed_s=24, n_final_runs=3).admits(1, [cost()])
    assert not budget(minutes=1, elapsed_s=26, n_final_runs=3).admits(1, [cost()])
    # A final run itself needs only its own time.
    assert budget(minutes=1, elapsed_s=49, n_final_runs=3).admits_final([cost()])
    assert not budget(minutes=1, elapsed_s=51, n_final_runs=3).admits_final([cost()])


def test_processor_time_binds_over_all_workers():
    # 60 s may be used; five trials of 10 s leave 10 s for one more.
    assert budget(cpu_minutes=1).admits(5, [cost()] * 5)
    assert not budget(cpu_minutes=1).admits(5, [cost(cpu_s=10.5)] * 5)


def test_what_trials_under_way_will_still_use_is_counted():
    finished, begun = [cost(cpu_s=12)] * 3, cost(wall_s=1, cpu_s=1, epochs=1)
    # 38 s used; two trials under way will use 11 s more each: nothing is left for a third one of 12 s.
    assert not budget(cpu_minutes=1).admits(5, [*finished, begun, begun], {3: begun, 4: begun})
    # With one under way, 12 s are left.
    assert budget(cpu_minutes=1).admits(4, [*finished, begun], {3: begun})


def test_a_spent_budget_stops_what_is_under_way():
    # The clock, then the processors.
    assert budget(minutes=1, elapsed_s=60).spent([])
    assert budget(cpu_minutes=1).spent([cost(cpu_s=60)])
    assert not budget(minutes=1, cpu_minutes=1, elapsed_s=59).spent([cost(cpu_s=59)])


def test_the_time_kept_back_for_the_finalists_is_no_part_of_the_rounds():
    # 60 minutes, 4 a trial, two workers; nine finalists take five turns and a quarter more: 25 minutes.
    for minute in range(60):
        running = budget(n_final_runs=9, elapsed_s=minute * 60, minutes=60, epochs=1)
        if not running.admits(minute // 2, [cost(240, 240, epochs=1)]):
            break
    # No trial is asked for after this minute; the last of three rounds began before it.
    assert 2 / 3 <= running.progress(minute // 2, [cost(240, 240, epochs=1)]) < 1


def test_a_run_of_two_phases_is_expected_to_take_both():
    limits = BudgetParams(minutes=5, epochs=4)
    both = Budget(limits, n_workers=1, n_final_runs=1, epochs=24, elapsed_s=100)
    # 200 s are left, and a run of 4 and 20 epochs takes 240 s.
    assert not both.admits_final([cost(240, 240, epochs=24)])
