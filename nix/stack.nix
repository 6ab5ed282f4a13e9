# The commands that a user runs: `dagma`, and `stack`, which is `dagma up`.
{
  # A package set with the names of ./contract.nix.
  pkgs,
  # ./python of the same set.
  python,
  # The commit of the flake's source, or nothing.
  revision,
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
        export RECIPES_SOURCE="''${RECIPES_SOURCE-${recipes.file}}"
        export DBT_MANIFEST="''${DBT_MANIFEST-${dbtManifest}}"
        export DAGMA_REVISION=${revision}
        ${dashboard}
        ${certificates}
        ${keepStore}
        exec dagma ${arguments} "$@"
      '';
      meta.mainProgram = name;
    };

  # With the completion of bash, zsh and fish, for who installs it.
  dagma =
    let
      program = command "dagma" "";
    in
    pkgs.runCommand "dagma" { meta.mainProgram = "dagma"; } ''
      mkdir -p "$out/bin" "$out/share"
      ln -s ${program}/bin/dagma "$out/bin/dagma"
      for folder in bash-completion zsh fish; do
        ln -s ${python.completion}/share/$folder "$out/share/$folder"
      done
    '';

  # The files of Qdrant's dashboard, a package of its own in nixpkgs.
  dashboard =
    if pkgs ? qdrant-web-ui then
      ''export QDRANT__SERVICE__STATIC_CONTENT_DIR="''${QDRANT__SERVICE__STATIC_CONTENT_DIR-${pkgs.qdrant-web-ui}}"''
    else
      "";

  # The certificates that the environment names; else the machine's, which hold those of a company's
  # proxy; else the set's. Two variables: nixpkgs' OpenSSL prefers the second, which a multi-user Nix
  # exports.
  certificates = ''
    bundle=''${SSL_CERT_FILE-''${NIX_SSL_CERT_FILE-}}
    if [ -z "$bundle" ]; then
      for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
        ${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt; do
        if [ -e "$bundle" ]; then break; fi
      done
    fi
    export SSL_CERT_FILE="$bundle" NIX_SSL_CERT_FILE="$bundle"
  '';

  # root could write bytecode into the store, such as that of modules which the wheels' steps leave out;
  # what is built from such a path has another digest.
  keepStore = ''
    if [ "$(id -u)" = 0 ]; then export PYTHONDONTWRITEBYTECODE=1; fi
  '';

  recipes = import ./recipes.nix { inherit pkgs; };

  dbtManifest = import ./dbt.nix { inherit pkgs python; };
in
{
  inherit
    services
    recipes
    dbtManifest
    dashboard
    certificates
    keepStore
    dagma
    ;
  stack = command "stack" "up";
}
