"""Lists the formats in which times are written, and writes the SQL that reads each of them.

A format is a strptime format, or the name of a unit such as `milliseconds`. DuckDB's strptime is
lenient: `%Y` takes two digits, and the text `epoch` fits every format. A pattern guards each format
here, so that a value fits only if it is written that way.
"""

import re
from collections.abc import Mapping
from functools import cache

import duckdb

from longtail.errors import InputError
from longtail.init.tables.sql import literal

UNITS: Mapping[str, int] = {
    "seconds": 1,
    "milliseconds": 10**3,
    "microseconds": 10**6,
    "nanoseconds": 10**9,
}
# Seconds from 1970 to 1973-03-03 and to 2100-01-01. Between them, a number fits one unit at most.
_FIRST, _LAST = 10**8, 4_102_444_800
ISO = "ISO"
_ISO_DATE = "[0-9]{4}[-/ ][0-9]{1,2}[-/ ][0-9]{1,2}([T ][0-9].*)?"
_WHOLE_NUMBER, _NUMBER = "[0-9]{9,19}", "[0-9]{9,19}([.][0-9]*)?"

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# The longer alternative comes first: the start of a text is matched as well as the whole.
_PATTERNS = {
    "Y": "[0-9]{4}",
    "y": "[0-9]{2}",
    "m": "(?:1[0-2]|0?[1-9])",
    "d": "(?:3[01]|[12][0-9]|0?[1-9])",
    "H": "(?:2[0-3]|[01]?[0-9])",
    "I": "(?:1[0-2]|0?[1-9])",
    "M": "[0-5][0-9]",
    "S": "[0-5][0-9]",
    "f": "[0-9]{1,6}",
    "p": "[AP]M",
    "z": "[+-][0-9]{2}(?::?[0-9]{2})?",
    "Z": "[A-Za-z0-9_/+-]+",
    "b": f"(?:{'|'.join(month[:3] for month in _MONTHS)})",
    "B": f"(?:{'|'.join(_MONTHS)})",
    "a": f"(?:{'|'.join(day[:3] for day in _DAYS)})",
    "A": f"(?:{'|'.join(_DAYS)})",
    "%": "%",
}
# A guess is stricter: years are 1970 to 2100, and abbreviations such as IST have several meanings.
_GUESSED = {
    "Y": "(?:19[7-9][0-9]|20[0-9]{2}|2100)",
    "Z": "(?:UTC|GMT|[A-Z][a-z]+/[A-Za-z_/+-]+)",
}
# Directives for digits. Two in a row have a fixed width, or `2024115` would fit `%Y%m%d`.
_NUMERIC = "YymdHIMSfgnj"

_WEEKDAYS = ("", "%a ", "%a, ", "%A ", "%A, ")
_ORDERS = ("%Y?%m?%d", "%d?%m?%Y", "%m?%d?%Y", "%y?%m?%d", "%d?%m?%y", "%m?%d?%y", "%Y?%d?%m")
_NAMED_ORDERS = ("%d?%b?%Y", "%d?%b?%y", "%Y?%b?%d", "%b?%d?%Y")
_NAMED = (
    *(order.replace("?", separator) for order in _NAMED_ORDERS for separator in (*" -/.", "")),
    *("%b %d, %Y", "%b %d, %y", "%d %b, %Y", "%d. %b %Y"),
)
_DATES = (
    *(order.replace("?", separator) for order in _ORDERS for separator in "-/. "),
    *_NAMED,
    *(date.replace("%b", "%B") for date in _NAMED),
    "%Y%m%d",
)
_CLOCKS = (
    *("%H:%M:%S.%f", "%H:%M:%S", "%H:%M", "%H.%M.%S", "%H.%M", "%H%M%S.%f", "%H%M%S", "%H%M"),
    *("%I:%M:%S.%f %p", "%I:%M:%S %p", "%I:%M:%S%p", "%I:%M %p", "%I:%M%p", "%I %p", "%I%p", "%H"),
)
_JOINS = (" ", "T", ", ", " at ", " - ", "_", ":")
_ZONES = ("", "Z", "%z", " %z", " %Z", " GMT%z", " UTC%z")
_WHOLE = tuple(
    f"{weekday}%b %d %H:%M:%S{zone} %Y" for weekday in ("%a ", "") for zone in ("", " %z", " %Z")
)
# Formats of digits alone. A number may be one of them or a count of a unit.
DIGIT_FORMATS = (
    *("%Y%m%d", "%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%Y%m%d%H%M%S%f", "%d%m%Y", "%m%d%Y"),
)
# A longer text is prose, even if it holds a date.
_LONGEST = 80
# A year and another number of up to two digits: likely a date, in whatever language.
_LIKE_A_DATE = re.compile(r"(?=.*\b(19[7-9]\d|20\d\d)\b)(?=.*\b\d{1,2}\b)\W*(\w+\W+){1,7}\w+\W*")


@cache
def pattern_of(format_: str, *, guessed: bool = True) -> str:
    """Return a regular expression, for Python and DuckDB, of the texts in a strptime format.

    Args:
        guessed: nobody named the format, so the years are 1970 to 2100.
    """
    tokens = [token.replace("%-", "%") for token in re.findall(r"%-?.|.", format_, re.DOTALL)]
    is_number = [len(token) == 2 and token[1] in _NUMERIC for token in tokens]
    parts = []
    for place, token in enumerate(tokens):
        if len(token) == 1:
            parts.append(re.escape(token))
            continue
        directive = token[1]
        part = _PATTERNS.get(directive, ".+")
        if guessed:
            part = _GUESSED.get(directive, part)
        beside = is_number[max(place - 1, 0) : place] + is_number[place + 1 : place + 2]
        if any(beside) and directive in "mdHI":
            part = {"m": "(?:1[0-2]|0[1-9])", "d": "(?:3[01]|[12][0-9]|0[1-9])"}.get(
                directive, "[0-2][0-9]"
            )
        parts.append(part)
    return "".join(parts)


@cache
def _matcher(format_: str) -> re.Pattern[str]:
    return re.compile(pattern_of(format_), re.IGNORECASE)


def formats_of(text: str) -> list[str]:
    """Return the strptime formats that fit the shape of a text, as `text_sql` prepares it.

    `03/04/2024` has two: the day or the month may come first.
    """
    if len(text) > _LONGEST or not any(character.isdigit() for character in text):
        return []
    if text.isdigit():
        return [format_ for format_ in DIGIT_FORMATS if _matcher(format_).fullmatch(text)]
    found = [format_ for format_ in _WHOLE if _matcher(format_).fullmatch(text)]
    # Only a text that begins with a letter can begin with a weekday.
    for weekday in _WEEKDAYS if text[0].isalpha() else _WEEKDAYS[:1]:
        for date in _DATES:
            start = _matcher(weekday + date).match(text)
            if start:
                rest = text[start.end() :]
                found += [weekday + date + clock for clock in _clocks_of(rest)]
    for clock in _CLOCKS:
        start = _matcher(clock).match(text)
        if start and text[start.end() :].startswith(" "):
            rest = text[start.end() + 1 :]
            found += [f"{clock} {date}" for date in _DATES if _matcher(date).fullmatch(rest)]
    return found


def _clocks_of(rest: str) -> list[str]:
    """Return the formats of what follows a date: nothing, or a time of day with or without zone."""
    if not rest:
        return [""]
    found = []
    for join in _JOINS:
        if rest.startswith(join):
            for clock in _CLOCKS:
                start = _matcher(clock).match(rest[len(join) :])
                zone = rest[len(join) + start.end() :] if start else None
                if zone is not None:
                    ends = (end for end in _ZONES if _matcher(end).fullmatch(zone))
                    found += [join + clock + end for end in ends]
    return found


def looks_like_time(text: str) -> bool:
    """Return whether a text reads like a date, even if no format fits it."""
    return bool(formats_of(text)) or (
        len(text) <= _LONGEST // 2 and _LIKE_A_DATE.fullmatch(text) is not None
    )


def has_day_second(format_: str) -> bool:
    """Return whether the day stands between year and month, as hardly anybody writes it."""
    return re.match(r"%Y\W?%-?d", format_) is not None


def text_sql(column: str) -> str:
    """Return SQL for a column's texts, in the spelling that the formats read.

    Blanks are single (PM follows a narrow one in newer browsers), fractions of seconds have a point
    and at most six digits, `5th` is 5, and the name of a zone behind its offset is left out.
    """
    text = f"trim(regexp_replace({column}, '[\\s\\x{{00A0}}\\x{{202F}}]+', ' ', 'g'))"
    for pattern, replacement in (
        (r"(:[0-9]{2})[.,]([0-9]{1,6})[0-9]*", r"\1.\2"),
        (r"(?i)\b([0-9]{1,2})(?:st|nd|rd|th)\b", r"\1"),
        (r"((?:GMT|UTC)[+-][0-9:]+) \([^()]*\)$", r"\1"),
    ):
        text = f"regexp_replace({text}, '{pattern}', '{replacement}')"
    return text


def iso_sql(text: str) -> str:
    """Return SQL for the moments of ISO texts; NULL where a text is none."""
    joined = f"regexp_replace({text}, ' ([+-][0-9:]+|Z)$', '\\1')"
    return (
        f"CASE WHEN regexp_full_match({joined}, '{_ISO_DATE}') "
        f"THEN TRY_CAST({joined} AS TIMESTAMPTZ) END"
    )


def strptime_sql(text: str, format_: str, *, guessed: bool = True) -> str:
    """Return SQL for the moments of texts in a strptime format; NULL where a text is none."""
    pattern = literal("(?i)" + pattern_of(format_, guessed=guessed))
    return (
        f"CASE WHEN regexp_full_match({text}, {pattern}) "
        f"THEN CAST(try_strptime({text}, {literal(format_)}) AS TIMESTAMPTZ) END"
    )


def unit_sql(number: str, unit: str, *, is_whole: bool, guessed: bool = True) -> str:
    """Return SQL for the moments of numbers of a unit since 1970; NULL outside the unit's range.

    Args:
        is_whole: the SQL is a BIGINT, else a DOUBLE.
        guessed: nobody named the unit, so 1970 to 1973 is left to the next smaller one.
    """
    scale = UNITS[unit]
    if not is_whole:
        micros = f"CAST(round({number} * {10**6 / scale}) AS BIGINT)"
    else:
        micros = f"{number} * {10**6 // scale}" if scale <= 10**6 else f"{number} // 1000"
    lowest = _FIRST * scale if guessed else 0
    return (
        f"CASE WHEN {number} BETWEEN {lowest} AND {_LAST * scale} "
        f"THEN CAST(make_timestamp({micros}) AS TIMESTAMPTZ) END"
    )


def digits_sql(text: str, unit: str, *, guessed: bool = True) -> str:
    """Return SQL for the moments of texts of digits; see `unit_sql`."""
    # A double does not hold the 19 digits of nanoseconds, so whole numbers are read as such.
    whole = _cast_sql(text, _WHOLE_NUMBER if guessed else "[0-9]+", "BIGINT")
    number = _cast_sql(text, _NUMBER if guessed else "[0-9]+([.][0-9]*)?", "DOUBLE")
    ways = ((whole, True), (number, False))
    moments = [unit_sql(sql, unit, is_whole=is_whole, guessed=guessed) for sql, is_whole in ways]
    return f"coalesce({', '.join(moments)})"


def _cast_sql(text: str, pattern: str, type_: str) -> str:
    return f"CASE WHEN regexp_full_match({text}, '{pattern}') THEN TRY_CAST({text} AS {type_}) END"


def is_digits(text: str) -> bool:
    """Return whether a text can be a number of units since 1970, with or without a fraction."""
    return re.fullmatch(_NUMBER, text) is not None


def check_format(connection: duckdb.DuckDBPyConnection, time_format: str) -> None:
    """Refuse a format that the user named if it is neither a unit nor a strptime format of dates.

    Raises:
        InputError: see above.
    """
    if time_format in UNITS:
        return
    cure = f"write one such as '%d/%m/%Y %H:%M', or a unit: {', '.join(UNITS)}"
    if not re.search(r"%-?[Yy]", time_format):
        raise InputError(f"--time-format {time_format!r} has no year (%Y or %y): {cure}")
    try:
        connection.execute(f"SELECT try_strptime('', {literal(time_format)})").fetchall()
    except duckdb.Error as error:
        raise InputError(f"--time-format {time_format!r} is no format: {error}; {cure}") from error
