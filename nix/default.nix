# The flake's outputs for one system, made from one package set.
{
  # nixpkgs' or ./registry's package set.
  set,
  # The sets of other systems, by name.
  others ? { },
  # The flake's own source.
  source,
}:
let
  contract = import ./contract.nix;
  pkgs = contract.select set;
  python = import ./python { inherit pkgs; };
  stack = import ./stack.nix {
    inherit pkgs python;
    revision = source.rev or source.dirtyRev or "";
  };
  imagesWith =
    arguments:
    import ./image (
      {
        # A tree with edits has no commit: what tells it from another such tree is its content.
        revision =
          source.rev or (builtins.concatStringsSep "-" [
            (source.dirtyRev or "unknown")
            (builtins.substring 0 8 (builtins.hashString "sha256" (source.narHash or "")))
          ]);
        created = source.lastModified or 1;
      }
      // arguments
    );
  # Images are Linux's, whatever the machine that runs them.
  makeImages =
    arguments:
    if pkgs.stdenv.hostPlatform.isLinux then
      imagesWith ({ inherit pkgs python; } // arguments)
    else
      null;
  example = {
    inherit (stack) recipes dbtManifest;
  };
  images = makeImages { inherit example; };
  # The image of user code for code of one's own.
  withoutExample = makeImages {
    example = null;
    choose = roles: { inherit (roles) user-code; };
  };

  # Images for the other architecture, from packages that need no building here: nixpkgs' binary cache
  # has them, and the registry set assembles its own. Name of the output -> images.
  foreignImages = builtins.listToAttrs (
    map (other: rec {
      name = "image-${builtins.head (builtins.split "-" other)}";
      value =
        let
          sets = {
            pkgs = contract.select otherSets.${other};
            build = pkgs;
          };
        in
        imagesWith (
          sets
          // {
            inherit name example;
            python = import ./python sets;
          }
        );
    }) (builtins.filter isForeign (builtins.attrNames otherSets))
  );
  otherSets = pkgs.assembledFor or others;
  isForeign =
    other:
    images != null
    && builtins.match ".*-linux" other != null
    && other != pkgs.stdenv.hostPlatform.system;

  everyCheck = import ./checks.nix {
    inherit
      pkgs
      python
      stack
      images
      withoutExample
      foreignImages
      source
      outputs
      ;
  };

  outputs = {
    packages = {
      inherit (python)
        user-code
        user-code-without-example
        webserver
        mlflow-server
        ;
      inherit (stack) dagma;
      default = stack.dagma;
    }
    // pkgs.lib.optionalAttrs (images != null) {
      inherit (images) image;
      image-sbom = images.sbom;
      image-without-example = withoutExample.image;
    };
    # By name alone, as `longChecks`: their artifacts are another system's.
    foreignPackages = builtins.foldl' (
      all: name:
      all
      // {
        ${name} = foreignImages.${name}.image;
        "${name}-sbom" = foreignImages.${name}.sbom;
      }
    ) { } (builtins.attrNames foreignImages);
    # name -> package whose main program it runs
    programs = {
      inherit (stack) dagma stack;
      default = stack.stack;
      lock = import ./lock.nix { inherit pkgs python; };
      faults = import ./faults.nix { inherit pkgs python stack; };
    }
    // pkgs.lib.optionalAttrs (images != null) (
      import ./image/out.nix {
        inherit pkgs python;
        inherit (stack) certificates;
        inherit (images) image sbom;
      }
    );
    devShells.default = import ./shell.nix { inherit pkgs python stack; };
    checks = removeAttrs everyCheck (builtins.attrNames outputs.longChecks);
    # Those that build Go programs, start many stacks, or read images of another architecture, by name:
    # `nix build .#twin-distribution`.
    longChecks = builtins.intersectAttrs {
      image-aarch64-files = null;
      image-x86_64-files = null;
      twin-distribution = null;
      twin-process-compose = null;
    } everyCheck;
  };
in
outputs
