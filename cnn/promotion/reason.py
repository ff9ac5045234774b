"""The reason a person gives for what the gate would not do."""

from unicodedata import category

from cnn.errors import ConfigError

_SHORTEST, _LONGEST = 3, 1000
_NO_TEXT = {"Cc", "Cs"}  # Unicode's categories of control characters and of what was no Unicode


def kept_reason(option: str, text: str, *, needed: bool) -> str:
    r"""A reason as it is kept, on one line.

    Args:
        option: By which it was given, for the error.
        needed: An empty one is a mistake.

    Raises:
        ConfigError: It is empty and needed, too long for the history, or no text.

    Example:
        >>> kept_reason("--force", "  the camera \n is mended ", needed=True)
        'the camera is mended'
    """
    words, change = " ".join(text.split()), "name it"
    if needed and len(words) < _SHORTEST:
        raise ConfigError(option, received="no reason", expected="why, in words that are kept", change=change)
    if len(words) > _LONGEST:
        received, expected = f"a reason of {len(words):,} characters", f"at most {_LONGEST:,}"
        raise ConfigError(option, received=received, expected=expected, change="shorten it")
    if _NO_TEXT & set(map(category, words)):
        raise ConfigError(option, received=ascii(words), expected="letters that can be shown", change=change)
    return words
