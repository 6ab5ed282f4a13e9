# `nix run .#faults`: the long form of the check `faults`. Kills the services of a stack of its own
# again and again, and prints what came of it. Arguments are pytest's, see ../docs/faults.md.
{
  pkgs,
  # ./python and ./stack.nix of the same set.
  python,
  stack,
}:
let
  tests = pkgs.runCommand "faults-tests" { } ''
    mkdir -p "$out/tests"
    cp ${../pyproject.toml} "$out/pyproject.toml"
    cp ${../tests/platform_client.py} "$out/tests/platform_client.py"
    cp -r ${../tests/stack} "$out/tests/stack"
    cp -r ${../tests/faults} "$out/tests/faults"
  '';
in
pkgs.writeShellApplication {
  name = "faults";
  runtimeInputs = [ python.test ] ++ stack.services;
  text = ''
    ${stack.certificates}
    export PYTHONDONTWRITEBYTECODE=1
    exec python -m pytest -c ${tests}/pyproject.toml -p no:cacheprovider ${tests}/tests/faults \
      -o faulthandler_timeout=0 --repetitions 10 --storm 200 "$@"
  '';
  meta.mainProgram = "faults";
}
