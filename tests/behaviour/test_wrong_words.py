"""Mistakes on the command line itself: one line each, with what was typed, what is wrong, and where to read on."""

import pytest

MISTAKES = {
    "nigthly": "no such command 'nigthly', did you mean 'nightly'?; cnn --help",
    "search --trails 3": "no such option: --trails; cnn search --help",
    "promote --version x": "invalid value for '--version': Input should be a valid integer",
    "compare 1": "missing argument 'b'; cnn compare --help",
    "predict": "missing argument 'images'; cnn predict --help",
    "gc --older": "no such option: --older (Possible options: --older-than); cnn gc --help",
    "data-check --set": "option '--set' requires an argument; cnn data-check --help",
}


@pytest.fixture
def typed(monkeypatch, capsys, tmp_path):
    """What a command line answers with: exit code, output, error output."""
    from cnn.__main__ import main

    monkeypatch.chdir(tmp_path)

    def answer(words):
        monkeypatch.setattr("sys.argv", ["cnn", *words.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    return answer


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistyped_command_is_one_line(words, typed):
    code, output, error = typed(words)
    assert (code, output) == (2, "")
    # What was typed, then what is wrong with it; no box, no usage of several lines.
    assert error.startswith(f"cnn: received cnn {words}; {MISTAKES[words]}") and error.count("\n") == 1
    assert error.endswith(" --help lists what it takes\n")


def test_no_word_at_all_lists_the_commands(typed):
    code, output, error = typed("")
    assert code == 2 and "nightly" in output + error and "Traceback" not in error


def test_an_input_that_ends_where_something_is_asked_is_one_line(typed, monkeypatch):
    def ask(*_, **__):
        raise EOFError

    monkeypatch.setattr("cnn.commands.gc.gc", ask)
    # As with Ctrl-D at a question: an answer of sorts, and no traceback.
    code, _, error = typed("gc")
    assert (code, error.strip()) == (1, "cnn: aborted")


def test_help_is_no_mistake(typed):
    code, output, error = typed("search --help")
    assert (code, error) == (0, "") and "--set" in output
