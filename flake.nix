{
  description = "Dagma: Dagster on PostgreSQL with MLflow and Qdrant, from one pinned flake";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "aarch64-darwin"
      ];
      # The registry set has no darwin: there its outputs are left out.
      available = builtins.filter (system: nixpkgs.legacyPackages ? ${system}) systems;
      perSystem =
        outputs:
        builtins.listToAttrs (
          map (system: {
            name = system;
            value = outputs nixpkgs.legacyPackages.${system};
          }) available
        );
      parts = pkgs: rec {
        python = import ./nix/python { inherit pkgs; };
        stack = import ./nix/stack.nix { inherit pkgs python; };
        shell = import ./nix/shell.nix { inherit pkgs python stack; };
        lock = import ./nix/lock.nix { inherit pkgs python; };
        checks = import ./nix/checks.nix {
          inherit pkgs python stack;
          source = self;
        };
      };
      app = package: {
        type = "app";
        program = "${package}/bin/${package.meta.mainProgram}";
        inherit (package) meta;
      };
    in
    {
      packages = perSystem (
        pkgs:
        let
          inherit (parts pkgs) python stack;
        in
        {
          inherit (python) user-code webserver mlflow-server;
          inherit (stack) dagma;
          default = stack.dagma;
        }
      );

      apps = perSystem (
        pkgs:
        let
          inherit (parts pkgs) stack lock;
        in
        {
          dagma = app stack.dagma;
          stack = app stack.stack;
          default = app stack.stack;
          lock = app lock;
        }
      );

      devShells = perSystem (pkgs: {
        default = (parts pkgs).shell;
      });

      checks = perSystem (pkgs: (parts pkgs).checks);
    };
}
