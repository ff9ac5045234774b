"""The errors a user can see.

    CnnError
    ├── Interrupted              told to stop: exit code 130, and the same command goes on
    └── UserError                one clear line and exit code 2, never a traceback
        ├── ConfigError          params.yaml, --set, a CNN_ setting, a recipe file
        ├── SpaceError           a search space or engine that cannot work
        ├── SourceError          no place gave the data set
        ├── DataError            images or labels that cannot be trained on
        ├── IntegrityError       a torn, flipped or edited file: named, never used
        ├── StorageError         a full disk, a read-only folder
        └── ServiceError         a server that does not answer, a port or a database in use

Whatever is not a `UserError` is a fault of ours and keeps its traceback.
"""


class CnnError(Exception):
    """Root of all errors this package raises on purpose."""


class Interrupted(CnnError):
    """The search was told to stop; the next start goes on with it."""


class UserError(CnnError):
    """A mistake or a mishap that its reader can mend.

    Args:
        subject: What is wrong: a key's dotted path, a file, an address.
        received: What was found there.
        expected: What would have been right.
        change: Where to change it, as an instruction.

    Example:
        >>> print(UserError("search.budget.trials", received="-3", expected="1 or more", change="edit params.yaml"))
        search.budget.trials: received -3; expected 1 or more; edit params.yaml
    """

    def __init__(self, subject: object, *, received: object, expected: object, change: object) -> None:
        self.subject, self.received, self.expected, self.change = map(str, (subject, received, expected, change))
        line = f"{subject}: received {received}; expected {expected}; {change}"
        super().__init__(" ".join(line.split()))


class ConfigError(UserError):
    """A setting is unknown, missing or out of range."""


class SpaceError(UserError):
    """A search space or an engine that cannot work."""


class SourceError(UserError):
    """No place gave the data set with the right content."""


class DataError(UserError):
    """Images or labels that cannot be trained on."""


class IntegrityError(UserError):
    """A file is torn, flipped or edited by hand; it is named and not used."""


class StorageError(UserError):
    """A file cannot be written: full disk, read-only folder."""


class ServiceError(UserError):
    """A server does not answer, or another program holds a port, a lock or a database."""
