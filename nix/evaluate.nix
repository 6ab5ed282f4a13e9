# Every output made from one package set: evaluated, nothing built. The check `evaluation` runs it on the
# registry set and on ./stand-in.nix, `nix run .#lock` on the locked nixpkgs where that is in reach. For
# any other nixpkgs-like tree:
#   nix eval --impure --json --expr \
#     'import ./nix/evaluate.nix { set = import /path/to/nixpkgs { system = "aarch64-darwin"; }; source = ./.; }'
{
  # A package set with the names of ./contract.nix.
  set,
  # Sets of other systems, by name, as in ./default.nix.
  others ? { },
  # The checkout.
  source,
}:
let
  contract = import ./contract.nix;
  facts = import ./nixpkgs.nix;
  outputs = import ./. { inherit set others source; };
  # The check `evaluation` would evaluate itself.
  groups = outputs // {
    checks = removeAttrs outputs.checks [ "evaluation" ];
  };

  # As ./nixpkgs.nix has them; null for what is joined in another way than a list.
  licensesOf =
    given:
    if builtins.isList given then
      map (licence: licence.spdxId or licence.shortName or "?") given
    else if given ? spdxId then
      [ given.spdxId ]
    else
      null;

  told = value: if builtins.isList value then toString value else "${value}";
  # A sentence for each fact of ./nixpkgs.nix that the set has otherwise.
  differing =
    name:
    let
      here = {
        version = set.${name}.version or null;
        outputs = builtins.filter (output: output != "out") (set.${name}.outputs or [ ]);
        mainProgram = set.${name}.meta.mainProgram or null;
        licenses = licensesOf (set.${name}.meta.license or null);
        cpe = set.${name}.meta.identifiers.cpe or null;
      };
      fact = builtins.intersectAttrs here facts.${name};
    in
    map (key: "${name}: ${key} ${told fact.${key}} -> ${told here.${key}}") (
      builtins.filter (key: here.${key} != null && here.${key} != fact.${key}) (builtins.attrNames fact)
    );
in
# Fails with all names that the set lacks.
if contract.lacking set != [ ] then
  contract.refuse (contract.lacking set)
else
  {
    # Kind of output -> name -> the store path of its derivation.
    paths = builtins.mapAttrs (
      _: builtins.mapAttrs (_: package: builtins.unsafeDiscardStringContext package.drvPath)
    ) groups;

    # What ./nixpkgs.nix says of nixpkgs and the set has otherwise.
    differences = builtins.concatMap differing (
      builtins.filter (name: set ? ${name}) (builtins.attrNames facts)
    );
  }
