"""Write a click command's completion for bash, zsh and fish where these shells look for it.

Usage: python completion.py COMMAND SHARE, with click importable.
"""

import sys
from pathlib import Path

from click.shell_completion import get_completion_class

#: Shell -> its place below `share`.
PLACES = {
    "bash": "bash-completion/completions/{command}",
    "zsh": "zsh/site-functions/_{command}",
    "fish": "fish/vendor_completions.d/{command}.fish",
}


def script(shell: str, command: str) -> str:
    """Return the completion of one shell, which asks the command itself."""
    kind = get_completion_class(shell)
    assert kind is not None, shell
    names = {"complete_func": f"_{command}_completion", "prog_name": command}
    text: str = kind.source_template % (names | {"complete_var": f"_{command.upper()}_COMPLETE"})
    return text


def main(command: str, share: Path) -> None:
    """Write all of them."""
    for shell, place in PLACES.items():
        target = share / place.format(command=command)
        target.parent.mkdir(parents=True)
        target.write_text(script(shell, command))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
