# The commands that a user runs: `dagma`, and `stack`, which is `dagma up`.
{
  # A package set with the names listed in README.md.
  pkgs,
  # ./python of the same set.
  python,
}:
let
  inherit (pkgs) lib;
  # Qdrant's server is in no package registry: the registry set goes without.
  services = [
    pkgs.process-compose
    pkgs.postgresql_17
    pkgs.coreutils
    pkgs.bashInteractive
  ]
  ++ lib.optional (pkgs ? qdrant) pkgs.qdrant;

  command =
    name: arguments:
    pkgs.writeShellApplication {
      inherit name;
      runtimeInputs = [ python.stack ] ++ services;
      text = ''
        export RECIPES_SOURCE="''${RECIPES_SOURCE-${recipes}}"
        export DBT_MANIFEST="''${DBT_MANIFEST-${dbtManifest}}"
        ${certificates}
        exec dagma ${arguments} "$@"
      '';
      meta.mainProgram = name;
    };

  # The machine's certificates, which hold those of a company's proxy; else the set's.
  certificates = ''
    for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
      ${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt; do
      if [ -e "$bundle" ]; then break; fi
    done
    export SSL_CERT_FILE="''${SSL_CERT_FILE-$bundle}"
  '';

  # The default corpus of the recipes example: the data alone, since the program it comes with is a
  # desktop one and refers to all of GTK.
  recipes = pkgs.runCommand "recipes-corpus" { } ''
    cp -r ${pkgs.gnome-recipes}/share/gnome-recipes "$out"
  '';

  dbtManifest = import ./dbt.nix { inherit pkgs python; };
in
{
  inherit
    services
    recipes
    dbtManifest
    certificates
    ;
  dagma = command "dagma" "";
  stack = command "stack" "up";
}
