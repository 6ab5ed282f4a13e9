"""What the values of settings may be: types that check, and say so in a sentence.

The stack's table of settings and the kit, by which code locations read them, take them from here.
"""

import ipaddress
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field

from dagma.errors import SettingsError

#: Characters of a wrong value that its sentence shows.
SHOWN = 200


class Allowed(NamedTuple):
    """What a value may be, as the end of the sentence "... must be"."""

    text: str


def _matching(pattern: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError
        return value

    return AfterValidator(check)


def _digits(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError
    return value


def _address(value: str) -> str:
    return str(ipaddress.IPv4Address("127.0.0.1" if value == "localhost" else value))


def _zone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (OSError, LookupError) as error:
        raise ValueError from error


def _absolute(value: Path) -> Path:
    try:
        path = Path(os.path.abspath(value.expanduser()))  # noqa: PTH100 - keeps symbolic links
    except RuntimeError as error:  # a ~ of nobody
        raise ValueError from error
    # The topology is filled in as text: what YAML, or a shell in double quotes, would change stays out.
    if not str(path).isprintable() or re.search(r"[\"'`\\$,{}#]", str(path)):
        raise ValueError
    return path


def _without_wildcards(value: Path) -> Path:
    # Dagster takes the path of dagster.yaml for a pattern, and none that matches for an empty file.
    if re.search(r"[*?[]", str(value)):
        raise ValueError
    return value


_Digits = BeforeValidator(_digits)
Port = Annotated[int, _Digits, Field(ge=1, le=65535), Allowed("a whole number from 1 to 65535")]
Seconds = Annotated[
    int, _Digits, Field(ge=1, le=3600), Allowed("a whole number of seconds from 1 to 3600")
]
Days = Annotated[
    int, _Digits, Field(ge=1, le=36500), Allowed("a whole number of days from 1 to 36500")
]
LongSeconds = Annotated[
    int,
    _Digits,
    Field(ge=0, le=604800),
    Allowed("a whole number of seconds from 0 to 604800, a week"),
]
Count = Annotated[int, _Digits, Field(ge=1, le=1000), Allowed("a whole number from 1 to 1000")]
Directory = Annotated[
    Path,
    AfterValidator(_absolute),
    Allowed("a path of printable characters without quotes, commas, backslashes, braces, # or $"),
]
InstanceDirectory = Annotated[
    Path,
    AfterValidator(_absolute),
    AfterValidator(_without_wildcards),
    Allowed(
        "a path of printable characters without quotes, commas, backslashes, braces, #, $, *, ? or ["
    ),
]
Address = Annotated[
    str, AfterValidator(_address), Allowed("an IPv4 address such as 127.0.0.1 or 0.0.0.0")
]
Schemes = Annotated[
    str,
    _matching(r"[a-z][a-z0-9+.-]*(,[a-z][a-z0-9+.-]*)*"),
    Allowed("names of URI schemes, separated by commas"),
]
DatabaseName = Annotated[
    str,
    _matching(r"(?!pg_)[A-Za-z_][A-Za-z0-9_-]{0,62}"),
    Allowed("letters, digits, _ and -, at most 63, not beginning with a digit or pg_"),
]
Module = Annotated[
    str,
    _matching(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"),
    Allowed("the dotted name of a Python module"),
]
Url = Annotated[
    str, _matching(r"https?://[^\s/]+\S*"), Allowed("a URL that begins with http:// or https://")
]
_HOST = r"(\*\.)?[A-Za-z0-9_][A-Za-z0-9_.-]*"
Hosts = Annotated[
    str,
    _matching(rf"{_HOST}(\s*,\s*{_HOST})*"),
    Allowed("host names without ports, separated by commas, such as dagma.example.org,*.internal"),
]
Zone = Annotated[
    str, AfterValidator(_zone), Allowed("the name of a time zone such as UTC or Europe/Berlin")
]
TimeOfDay = Annotated[
    str, _matching(r"([01][0-9]|2[0-3]):[0-5][0-9]"), Allowed("a time from 00:00 to 23:59")
]
DatabaseUrl = Annotated[
    str,
    _matching(r"postgresql\+psycopg2://\S+"),
    Allowed("a URL that begins with postgresql+psycopg2://"),
]
Text = Annotated[str, Field(min_length=1), Allowed("some text")]
Password = Annotated[
    str, _matching(r"[^\x00-\x1f\x7f]{1,200}"), Allowed("1 to 200 characters in one line")
]
Flag = Annotated[bool, Allowed("true or false")]
WebhookFormat = Annotated[Literal["json", "slack", "wecom"], Allowed("json, slack or wecom")]
Switch = Annotated[Literal["on", "off", "auto"], Allowed("on, off or auto")]
Unreachable = Annotated[Literal["stub", "fail"], Allowed("stub or fail")]
Packages = Annotated[Literal["auto", "nixpkgs", "registry"], Allowed("auto, nixpkgs or registry")]


def checked(name: str, kind: Any, value: str, *, secret: bool = False) -> Any:  # noqa: ANN401 - of any type
    """The value of an environment variable as its kind has it.

    Args:
        name: Of the variable.
        kind: One of the types above.
        value: The text.
        secret: Whether it is never shown.

    Raises:
        SettingsError: It is of another kind.
    """
    from pydantic import TypeAdapter, ValidationError  # the stack's commands need neither

    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        said = refusal(name, kind, value, "in the environment", secret=secret)
        raise SettingsError(said) from None


def refusal(name: str, kind: object, value: str, where: str, *, secret: bool) -> str:
    """The sentence about a value that is none of its kind; passwords in URLs are left out."""
    value = re.sub(r"//[^/@]*@", "//***@", value)
    value = value if len(value) <= SHOWN else f"{value[:SHOWN]}..."
    shown = "has a value (not shown)" if secret else f"is {value!r}"
    return f"{name} {shown} {where}, but it must be {allowed(kind)}."


def allowed(kind: object) -> str:
    """What a value of a kind may be; of ``X | None`` the sentence sits inside the union."""
    return next(_texts(kind), "something else")


def _texts(kind: object) -> Iterator[str]:
    for part in get_args(kind):
        if isinstance(part, Allowed):
            yield part.text
        else:
            yield from _texts(part)
