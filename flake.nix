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
      # ./nix/registry may stand in for nixpkgs; it has no darwin.
      available = builtins.filter (system: nixpkgs.legacyPackages ? ${system}) systems;
      perSystem =
        output:
        builtins.listToAttrs (
          map (system: {
            name = system;
            value = output (
              import ./nix {
                set = nixpkgs.legacyPackages.${system};
                others = nixpkgs.legacyPackages;
                source = self;
              }
            );
          }) available
        );
      app = package: {
        type = "app";
        program = "${package}/bin/${package.meta.mainProgram}";
        meta.description = "runs ${package.name}";
      };
    in
    {
      packages = perSystem (outputs: outputs.packages // outputs.foreignPackages);
      apps = perSystem (outputs: builtins.mapAttrs (_: app) outputs.programs);
      devShells = perSystem (outputs: outputs.devShells);
      checks = perSystem (outputs: outputs.checks);
      legacyPackages = perSystem (outputs: outputs.longChecks); # by name; `flake check` leaves them out
    };
}
