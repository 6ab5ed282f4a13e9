# The flake's outputs for one system, made from one package set.
{
  # nixpkgs' or ./registry's package set.
  set,
  # The flake's own source.
  source,
}:
let
  pkgs = (import ./contract.nix).select set;
  python = import ./python { inherit pkgs; };
  stack = import ./stack.nix { inherit pkgs python; };
  outputs = {
    packages = {
      inherit (python) user-code webserver mlflow-server;
      inherit (stack) dagma;
      default = stack.dagma;
    };
    # name -> package whose main program it runs
    programs = {
      inherit (stack) dagma stack;
      default = stack.stack;
      lock = import ./lock.nix { inherit pkgs python; };
    };
    devShells.default = import ./shell.nix { inherit pkgs python stack; };
    checks = import ./checks.nix {
      inherit
        pkgs
        python
        stack
        source
        outputs
        ;
    };
  };
in
outputs
