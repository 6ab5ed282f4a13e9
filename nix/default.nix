# The flake's outputs for one system, made from one package set.
{
  # nixpkgs' or ./registry's package set.
  set,
  # The flake's own source.
  source,
}:
let
  pkgs = (import ./contract.nix).select set;
  python = import ./python { inherit pkgs; };
  stack = import ./stack.nix {
    inherit pkgs python;
    revision = source.rev or source.dirtyRev or "";
  };
  # Images are Linux's, whatever the machine that runs them.
  makeImages =
    arguments:
    if pkgs.stdenv.hostPlatform.isLinux then
      import ./image (arguments // {
        inherit pkgs python;
        # A tree with edits has no commit: what tells it from another such tree is its content.
        revision =
          source.rev or (builtins.concatStringsSep "-" [
            (source.dirtyRev or "unknown")
            (builtins.substring 0 8 (builtins.hashString "sha256" (source.narHash or "")))
          ]);
        created = source.lastModified or 1;
      })
    else
      null;
  images = makeImages { example = { inherit (stack) recipes dbtManifest; }; };
  # The image of user code for code of one's own.
  withoutExample = makeImages {
    example = null;
    choose = roles: { inherit (roles) user-code; };
  };
  everyCheck = import ./checks.nix {
    inherit
      pkgs
      python
      stack
      images
      withoutExample
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
    # Those that build Go programs or start many stacks, by name: `nix build .#twin-distribution`.
    longChecks = builtins.intersectAttrs {
      twin-distribution = null;
      twin-process-compose = null;
    } everyCheck;
  };
in
outputs
