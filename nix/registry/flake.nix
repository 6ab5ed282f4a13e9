{
  description = "The package set for networks that have package registries only (see ../README.md)";

  outputs =
    { self }:
    {
      legacyPackages = builtins.listToAttrs (
        map (system: {
          name = system;
          value = import ./default.nix { inherit system; };
        }) [ "x86_64-linux" "aarch64-linux" ]
      );
    };
}
