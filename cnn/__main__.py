"""The command line: mistakes to one line and exit code 2. What the commands are stands in `cnn.cli`."""

import sys

import typer

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
        app()
    except UserError as error:
        print(f"cnn: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, Interrupted):
        print("cnn: interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
