"""Paths of this machine: a URI is refused before it can become a folder of that name."""

import os
import re
from pathlib import Path

from longtail.errors import InputError

# A scheme of one letter is none: that is how Windows names a drive. `pathlib` takes `s3://lake` for
# the folder `lake` in the folder `s3:`, so one slash is enough.
_URI = re.compile(r"\s*(?P<scheme>[a-z][a-z0-9+.-]+):/+(?P<rest>[^?#]*)", re.IGNORECASE)
# A URI may carry a password.
_PASSWORD = re.compile(r":[^/@]*@")


def refuse_uri(value: str | os.PathLike[str], what: str) -> None:
    """Refuse a path that is a URI, such as `s3://lake/home`.

    Args:
        value: the path, as text or as a `Path`, which has lost one of the two slashes.
        what: the name in the message, such as `LONGTAIL_HOME` or `--items`.

    Raises:
        InputError: the value begins with `scheme:/`.
    """
    text = os.fspath(value)
    found = _URI.match(text)
    if found is None:
        return
    scheme, rest = found["scheme"], _PASSWORD.sub(":...@", found["rest"], count=1)
    if scheme.lower() == "file":
        # `file:///data/x`, `file:/data/x`, and with the name of a host before the path.
        host = rest.partition("/")[0] if re.match(r"\s*file://[^/]", text, re.IGNORECASE) else ""
        raise InputError(
            f"{what} is the URI {scheme}:///{rest}: URIs are not supported here, so give the path "
            f"alone, /{rest.removeprefix(host).lstrip('/')}"
        )
    raise InputError(
        f"{what} is the URI {scheme}://{rest}: only a path of this machine can be used here. Copy "
        "or mount the place that it names, and give the path, such as /mnt/"
        f"{rest.rpartition('@')[2]}"
    )


def local_path(value: str | os.PathLike[str], what: str) -> Path:
    """Return a path of this machine, with `~` and `~name` replaced by the home of a user.

    Shells do this only outside quotes, and nothing does it in a file.

    Args:
        value: the path, as text or as a `Path`.
        what: its name in messages.

    Raises:
        InputError: the value is a URI, or there is no such user.
    """
    refuse_uri(value, what)
    path = Path(value)
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise InputError(
            f"{what} is {path}, and {path.parts[0]} is the home of no user of this machine: give "
            "the whole path, from / on"
        ) from error
