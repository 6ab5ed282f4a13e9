# The store paths of every output's derivation (the checks aside) made from one package set, as
# text: evaluated, nothing built. The check `evaluation` runs it on both sets; for a checkout of
# nixpkgs:
#   nix eval --impure --json --expr \
#     'import ./nix/evaluate.nix { set = import /path/to/nixpkgs { system = "aarch64-darwin"; }; source = ./.; }'
{
  # A package set with the names of ./contract.nix.
  set,
  # The checkout.
  source,
}:
let
  outputs = import ./. { inherit set source; };
  paths =
    group:
    map (package: builtins.unsafeDiscardStringContext package.drvPath) (builtins.attrValues group);
in
paths outputs.packages ++ paths outputs.programs ++ paths outputs.devShells
