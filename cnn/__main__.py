"""The command line: mistakes to one line and exit code 2. What the commands are stands in `cnn.cli`."""

import shlex
import sys

import typer
from typer.exceptions import TyperException

from cnn.cli import again, data, looks, registry, service, steps
from cnn.errors import Interrupted, UserError


def _application() -> typer.Typer:
    """All commands, in the order in which --help lists them."""
    whole = typer.Typer(
        name="cnn",
        help="Tune image classifiers overnight, log every curve, promote only what is better.",
        epilog="Settings: params.yaml in this folder, CNN_ variables for this machine. README.md tells the story.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for kind in (steps, registry, service, looks, data, again):
        whole.add_typer(kind.commands)
    return whole


app = _application()


def main() -> None:
    """Run a command; a user's mistake ends in one line and exit code 2."""
    from cnn.runtime import silence, warn_on_screen

    silence()
    warn_on_screen()
    try:
        sys.exit(app(standalone_mode=False))
    except TyperException as error:
        if said := error.format_message():  # nothing: all commands were listed, as none was named
            print(f"cnn: {_mistyped(said, error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except typer.Abort:  # the end of the input where something was asked
        print("cnn: aborted", file=sys.stderr)
        sys.exit(1)
    except UserError as error:
        print(f"cnn: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, Interrupted):
        print("cnn: interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)


def _mistyped(said: str, error: TyperException) -> str:
    """Words that are no command, no option or no value of it, as one line."""
    context = getattr(error, "ctx", None)
    # an option without its value is told of without a context
    named = [word for word in sys.argv[1:2] if not word.startswith("-")]
    command = context.command_path if context else shlex.join(["cnn", *named])
    sentence = said[:1].lower() + said[1:].replace(". Did you mean", ", did you mean").rstrip(".")
    return " ".join(
        f"received {shlex.join(['cnn', *sys.argv[1:]])}; {sentence}; {command} --help lists what it takes".split()
    )


if __name__ == "__main__":
    main()
