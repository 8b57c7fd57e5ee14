"""Whether a day has rows that the served version was not made from, and how old its data are."""

from datetime import UTC, date, datetime, timedelta

from longtail.artifacts import RunPaths, VersionPaths, read_json
from longtail.config import Config
from longtail.embeddings.published_pointer import Publication, read_pointer
from longtail.fingerprints import required_stamp

# Paths of a machine, which a version does not record, and what no version depends on.
_NOT_COMPARED = {"home", "feature_repo", "feature_store", "schedule"}


def nothing_new(config: Config, as_of: date) -> str | None:
    """Return why a day needs no version of its own, in words; None if it needs one.

    A day needs none if its catalogue equals, byte by byte, the one that the served version was made
    from, and the configuration is the same.

    Raises:
        LongtailError: the day has no catalogue yet.
    """
    stamp = required_stamp(RunPaths(config, as_of).catalogue, made_by="dataset")
    pointer = read_pointer(config)
    if pointer is None or pointer.served.data != stamp["fingerprint"]:
        return None
    served = pointer.served
    made_with = VersionPaths(config, served.version).config
    if as_of <= served.day or not made_with.is_file():
        return None
    now = config.model_dump(mode="json", exclude=_NOT_COMPARED)
    before = {k: v for k, v in read_json(made_with).items() if k not in _NOT_COMPARED}
    if now != before:
        return None
    return (
        f"{as_of} has no row that the served version {served.version} was not made from: the "
        f"newest is of {served.newest_row}. Nothing was trained"
    )


def data_age(served: Publication, now: datetime) -> timedelta:
    """Return the age of the newest row that a version was made from.

    Where it is not known, as in a pointer of an earlier release, it is taken to be of the end of
    the version's day.

    Args:
        served: the version.
        now: the time now, with its zone.
    """
    if served.newest_row is not None:
        return now - datetime.fromisoformat(served.newest_row)
    end = datetime.combine(served.day + timedelta(days=1), datetime.min.time(), UTC)
    return now - end
