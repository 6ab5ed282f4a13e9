# `nix develop`: the stack's programs and the developer's tools, the package itself from the checkout.
{
  pkgs,
  # ./python and ./stack.nix of the same set.
  python,
  stack,
}:
pkgs.mkShellNoCC {
  name = "dagma";
  packages = [
    python.dev
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
    eval "$(dagma env)"
    echo "dagma: process-compose up | dagma up | pytest | ruff check | mypy    (CONTRIBUTING.md)"
  '';
}
