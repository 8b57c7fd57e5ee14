"""Checks of the keys that a caller gives."""

from collections.abc import Sequence

from longtail.errors import InputError


def check_keys(keys: Sequence[str], kind: str) -> None:
    """Refuse what cannot be a list of keys.

    Args:
        keys: the keys.
        kind: what a key names, for messages: `item` or `query`.

    Raises:
        InputError: `keys` is no list or tuple, or is empty; a key is not a string, or not valid
            Unicode.
    """
    if isinstance(keys, str) or not isinstance(keys, Sequence) or not keys:
        raise InputError(f"name at least one {kind}, as a list of strings")
    for key in keys:
        if not isinstance(key, str):
            raise InputError(f"{kind} {key!r} is not a string")
        if not is_unicode(key):
            raise InputError(f"{kind} {key!r} is not valid Unicode")


def is_unicode(text: str) -> bool:
    """Return whether a string can be written as UTF-8: it has no half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
