"""What may be a key."""

from collections.abc import Sequence

from longtail.errors import InputError


def check_keys(keys: Sequence[str], what: str) -> None:
    """Refuse what cannot be a list of keys.

    Raises:
        InputError: it is no list or tuple, it is empty, or a key is not a string, or not one of
            valid Unicode.
    """
    if isinstance(keys, str) or not isinstance(keys, Sequence) or not keys:
        raise InputError(f"name at least one {what}, as a list of strings")
    for key in keys:
        if not isinstance(key, str):
            raise InputError(f"{what} {key!r} is not a string")
        if not key.isascii():
            try:
                key.encode()
            except UnicodeEncodeError as error:
                raise InputError(f"{what} {key!r} is not valid Unicode") from error
