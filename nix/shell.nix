# `nix develop`: the stack's programs and the developer's tools, the package itself from the checkout.
{
  pkgs,
  # ./python and ./stack.nix of the same set.
  python,
  stack,
}:
let
  # The machine's pip, on whose configuration the lock relies; but what it would install is for another
  # Python, or for the store.
  pip =
    name:
    pkgs.writeShellApplication {
      inherit name;
      text = ''
        case "''${1-}" in
          install | uninstall)
            echo "pip: this shell's packages are those of pyproject.toml: add yours to its" \
              "dependencies, then \`./nixw run .#lock\`, and enter the shell again" >&2
            exit 1
            ;;
        esac
        path=:$PATH:
        for own in pip pip3; do
          path=''${path//":$(dirname "$(command -v "$own")"):"/:}
        done
        path=''${path#:}
        PATH=''${path%:} exec ${name} "$@"
      '';
    };
in
pkgs.mkShellNoCC {
  name = "dagma";
  packages = [
    python.dev
  ]
  ++ map pip [
    "pip"
    "pip3"
  ]
  ++ [
    pkgs.shellcheck
    pkgs.skopeo
    pkgs.distribution # the registry of tests/image
  ]
  ++ stack.services;
  RECIPES_SOURCE = stack.recipes.file;
  DBT_MANIFEST = stack.dbtManifest;
  shellHook = ''
    # The checkout: this directory or one above it, else the one whose ./nixw was called.
    checkout=$PWD
    until [ -e "$checkout/src/dagma" ] || [ "$checkout" = / ]; do checkout=$(dirname "$checkout"); done
    if [ "$checkout" = / ]; then checkout=''${DAGMA_CHECKOUT:-$PWD}; fi
    export PYTHONPATH="$checkout/src''${PYTHONPATH:+:$PYTHONPATH}"
    ${stack.dashboard}
    ${stack.keepStore}
    eval "$(dagma env)"
    if [[ $- == *i* ]]; then source ${python.dev}/share/bash-completion/completions/dagma; fi
    echo "dagma: process-compose up | dagma up | pytest | ruff check | mypy    (CONTRIBUTING.md)"
  '';
}
