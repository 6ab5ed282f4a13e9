# The names that this project uses of a package set, and nothing else of it; README.md says what each
# is for. Both sets provide them: nixpkgs, and ./registry.
let
  required = [
    "bashInteractive"
    "cacert"
    "coreutils"
    "distribution"
    "fetchPypi"
    "gnome-recipes"
    "lib"
    "mkShellNoCC"
    "patchelf"
    "postgresql_17"
    "process-compose"
    "python313"
    "runCommand"
    "shellcheck"
    "skopeo"
    "stdenv"
    "tzdata"
    "writeShellApplication"
    "zlib"
  ];
  # Absent from the registry set: no package registry has Qdrant's server.
  optional = [ "qdrant" ];
in
{
  inherit required optional;

  # The part of a set that is used. A name that the set lacks is an error only when it is used, and
  # one that is not listed above cannot be used at all.
  select =
    set:
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = set.${name};
      }) (required ++ builtins.filter (name: set ? ${name}) optional)
    );
}
