"""Evaluate every output with the nixpkgs that flake.lock pins, and say what broke there and what moved.

Usage: python lock_nixpkgs.py [CHECKOUT]. Where nixpkgs is out of reach it says so, with status 0: the
check `evaluation` has then only what nix/nixpkgs.nix says. Status 1: an output does not evaluate.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SYSTEMS = ("x86_64-linux", "aarch64-linux", "aarch64-darwin")

#: What `nix eval` is asked: the pinned tree, and nix/evaluate.nix made from it for one system. The source is
#: a name alone: as a path all of the checkout, secrets too, would be copied into the store.
SOURCE = "(builtins.fetchTree (builtins.fromJSON (builtins.readFile {lock})).nodes.nixpkgs.locked)"
EVALUATED = """
let
  nixpkgs = system: import {source} {{ inherit system; config = {{ }}; overlays = [ ]; }};
in
import ({checkout} + "/nix/evaluate.nix") {{
  set = nixpkgs "{system}";
  # Those that images are made for.
  others = {{ x86_64-linux = nixpkgs "x86_64-linux"; aarch64-linux = nixpkgs "aarch64-linux"; }};
  source.outPath = "/source";
}}
"""
#: A network without GitHub is to be told soon, in seconds.
OPTIONS = (
    *("--extra-experimental-features", "nix-command flakes"),
    *("--option", "connect-timeout", "5", "--option", "download-attempts", "1"),
)


class EvaluationError(Exception):
    """Nix did not evaluate an expression; the message is its last error."""


def evaluate(expression: str) -> dict[str, Any]:
    """Return the attribute set that Nix evaluates an expression to.

    Raises:
        EvaluationError: It does not evaluate.
    """
    command = ["nix", "eval", *OPTIONS, "--impure", "--json", "--expr", expression]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise EvaluationError("there is no nix on PATH") from error
    if done.returncode:
        raise EvaluationError(done.stderr.strip().rpartition("error: ")[2])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def nix_path(path: Path) -> str:
    """Return a path as an expression, whatever characters are in it."""
    return f"(/. + {json.dumps(str(path)).replace('${', '\\${')})"


def report(checkout: Path) -> tuple[list[str], list[str]]:
    """Evaluate every output for every system.

    Returns:
        What moved beside nix/nixpkgs.nix, and what broke, in lines.

    Raises:
        EvaluationError: nixpkgs is out of reach.
    """
    source = SOURCE.format(lock=nix_path(checkout / "flake.lock"))
    evaluate(f"{{ inherit ({source}) outPath; }}")
    moved: list[str] = []
    broken: list[str] = []
    for system in SYSTEMS:
        whole = EVALUATED.format(checkout=nix_path(checkout), source=source, system=system)
        try:
            found = evaluate(whole)
            moved += found["differences"]
            print(f"nixpkgs, {system}: {sum(map(len, found['paths'].values()))} outputs evaluate")
        except EvaluationError as error:
            broken.append(f"nixpkgs, {system}: {error}")
    return sorted(set(moved)), broken


def main(checkout: Path) -> None:
    """Print the report."""
    try:
        moved, broken = report(checkout)
    except EvaluationError as error:
        print(f"nixpkgs is out of reach, so no output was evaluated with it ({error})")
        return
    print("\n".join(moved) or "nixpkgs: nothing moved beside nix/nixpkgs.nix")
    if broken:
        sys.exit("\n".join(["lock: outputs do not evaluate:", *broken]))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
