"""How a setting is declared: its name, default, help, and who takes a changed value."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

#: Who takes a changed setting while the stack runs: no service, since every command reads it; none
#: by itself, since it is for all of them or stands in the topology; or some, by their names.
AT_ONCE: tuple[str, ...] = ()
STACK = ("stack",)
#: Who reads what is for assets.
USER_CODE = ("user_code",)


class Part(BaseModel):
    """The settings of one owner; only the table that joins all parts is ever validated."""

    # A part by itself needs no schema, which costs every command as much as that of the table.
    model_config = ConfigDict(defer_build=True)


def setting(
    name: str,
    default: object,
    help_: str,
    shown: str | None = None,
    taken_by: tuple[str, ...] = USER_CODE,
) -> Any:  # noqa: ANN401 - what pydantic's Field returns, so that any type can be declared
    """Declare one setting.

    Args:
        name: Environment variable.
        default: Value when the variable is not set; None means worked out from other settings.
        help_: One line for the documentation.
        shown: How the documentation writes a default that is worked out.
        taken_by: The processes that take a changed value; or AT_ONCE, or STACK.
    """
    extra: dict[str, JsonValue] = {"shown": shown, "taken_by": [*taken_by]}
    return Field(default, alias=name, description=help_, json_schema_extra=extra)


def secret(
    name: str,
    help_: str,
    shown: str,
    taken_by: tuple[str, ...] = USER_CODE,
) -> Any:  # noqa: ANN401 - as above
    """Declare a setting whose value is never shown and handed to services in files only."""
    extra: dict[str, JsonValue] = {"shown": shown, "secret": True, "taken_by": [*taken_by]}
    return Field(None, alias=name, description=help_, json_schema_extra=extra, repr=False)
