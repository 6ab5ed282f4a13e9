# Checks with programs as nixpkgs has them where the set's are otherwise (registry/twins.nix), so that a
# machine without nixpkgs finds out what would fail on it.
{
  pkgs,
  # ./python and ./stack.nix of the same set.
  python,
  stack,
  # As in ./checks.nix.
  inCheckout,
  everything,
  stackTests,
  pushWith,
  checkImage,
}:
let
  services = [ python.test ] ++ stack.services;
in
{
  # A coreutils that is one program, which goes by its name: every unit test that starts programs.
  twin-coreutils = inCheckout "twin-coreutils" ([ pkgs.coreutils.twin ] ++ services) everything ''
    files=()
    for file in tests/unit/test_*.py; do
      if [[ $(<"$file") =~ program\(|bin/sh|\"sleep\" ]]; then files+=("$file"); fi
    done
    [ "$(readlink "$(type -P sleep)")" = coreutils ]
    python -m pytest "''${files[@]}" -p no:cacheprovider
  '';

  # The newest process-compose: all that the stack asks of a supervisor.
  twin-process-compose =
    inCheckout "twin-process-compose" ([ pkgs.process-compose.twin ] ++ services)
      (
        stackTests
        // {
          "tests/unit/conftest.py" = ../tests/unit/conftest.py;
          "tests/unit/test_topology.py" = ../tests/unit/test_topology.py;
          "process-compose.yaml" = ../process-compose.yaml;
        }
      )
      ''
        process-compose version
        python -m pytest tests/unit/test_topology.py tests/stack/test_lifecycle.py \
          tests/stack/test_drain.py -p no:cacheprovider
      '';

  # Images are pushed to the registry of version 3.
  twin-distribution = pushWith "twin-distribution" pkgs.distribution.twin;

  # An image with nixpkgs' kind of Python fits the budget that was measured without all that it brings.
  # One role will do: all have the same interpreter.
  twin-python =
    let
      twins = pkgs // {
        python313 = pkgs.python313.twin;
      };
    in
    checkImage "twin-python" (
      import ./image {
        pkgs = twins;
        python = import ./python { pkgs = twins; };
        choose = roles: { inherit (roles) daemon; };
        example = null;
        revision = "twin";
        created = 1;
      }
    );
}
