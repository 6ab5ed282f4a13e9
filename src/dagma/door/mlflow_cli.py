"""MLflow's command line, whose `server` is behind the door; the images have it as `mlflow`."""

import sys

APPLICATION = "--app-name"


def main() -> None:
    """Become `mlflow`; the arguments are its own."""
    from mlflow.cli import cli

    sys.argv[1:] = behind_the_door(sys.argv[1:])
    cli()


def behind_the_door(arguments: list[str]) -> list[str]:
    """The arguments of `mlflow server`, with the application of the door unless they name another."""
    if arguments[:1] != ["server"] or any(one.startswith(APPLICATION) for one in arguments):
        return arguments
    return ["server", f"{APPLICATION}=dagma", *arguments[1:]]
