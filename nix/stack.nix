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
    python.stack
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
      runtimeInputs = services;
      text = ''
        export RECIPES_SOURCE="''${RECIPES_SOURCE-${recipes}}"
        export SSL_CERT_FILE="''${SSL_CERT_FILE-${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt}"
        exec dagma ${arguments} "$@"
      '';
      meta.mainProgram = name;
    };

  # The default corpus of the recipes example.
  recipes = "${pkgs.gnome-recipes}/share/gnome-recipes";
in
{
  inherit services recipes;
  dagma = command "dagma" "";
  stack = command "stack" "up";
}
