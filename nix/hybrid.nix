# The outputs made with a nixpkgs-like tree's functions and the registry set's programs: nixpkgs'
# library, its stdenv with all that setup.sh does and its builders, on a machine that has neither
# nixpkgs' packages nor their sources. For maintainers, see ../docs/nixpkgs.md:
#   DAGMA_PACKAGES=registry ./nixw build --impure --file nix/hybrid.nix --arg tree /path/to/nixpkgs packages.image
{
  # A checkout of nixpkgs or of what is like it, or a function with the arguments of its default.nix.
  tree,
  system ? builtins.currentSystem,
  # The checkout.
  source ? builtins.fetchGit ../.,
}:
let
  contract = import ./contract.nix;
  registry = import ./registry { inherit system; };
  inherit (import ./registry/lock.nix { inherit system; }) seed;
  shell = "${registry.bashInteractive}/bin/bash";

  # What can be nixpkgs' own. The rest of the contract is programs, which would have to be compiled.
  functions = [
    "fetchPypi"
    "fetchurl"
    "lib"
    "mkShellNoCC"
    "runCommand"
    "stdenv"
    "writeShellApplication"
  ];

  # What nixpkgs' stdenv has on PATH and the registry set has not: busybox's.
  tools = registry.runCommand "stdenv-tools" { } ''
    mkdir -p "$out/bin"
    for tool in awk bzip2 cmp diff find grep gunzip gzip patch sed tar xargs xz; do
      ln -s ${seed}/busybox "$out/bin/$tool"
    done
  '';

  nixpkgs = if builtins.isFunction tree then tree else import tree;

  # nixpkgs' stdenv over those programs, in place of the chain of compilers that its own comes from.
  stdenv = (nixpkgs { inherit system; }).stdenv.override {
    name = "stdenv-hybrid";
    inherit shell;
    initialPath = [
      registry.coreutils
      tools
    ];
    extraNativeBuildInputs = [ ];
    allowedRequisites = null;
    disallowedRequisites = [ ];
    overrides = _: _: { };
    cc = null;
    hasCC = false;
  };

  given = nixpkgs {
    inherit system;
    stdenvStages =
      { config, overlays, ... }:
      [ ({ }: { inherit config overlays stdenv; }) ];
    overlays = [
      (_: previous: {
        runtimeShell = shell;
        # Asked for paths only.
        fetchurl = previous.fetchurl.override { curl = registry.coreutils; };
        shellcheck-minimal = registry.shellcheck // {
          meta.mainProgram = "shellcheck";
          # Asked because ShellCheck's compiler does not exist for every machine.
          compiler.bootstrapAvailable = true;
        };
      })
    ];
  };

  # A build that has nixpkgs' Python sources its hook; one that has its PostgreSQL has the output
  # `dev`, and the programs by way of that.
  developed =
    name: hook:
    registry.${name}
    // {
      dev = registry.runCommand "${name}-dev" { } ''
        mkdir -p "$out/nix-support"
        echo ${registry.${name}} >"$out/nix-support/propagated-build-inputs"
        cat ${hook} >"$out/nix-support/setup-hook"
      '';
    };

  # nixpkgs' function says where the content belongs; there the registry set's means have put it.
  placed =
    name: arguments:
    let
      here = registry.${name} arguments;
      there = builtins.unsafeDiscardStringContext "${given.${name} arguments}";
    in
    if "${here}" == there then
      here
    else
      throw "hybrid: the tree's ${name} makes ${there} and the registry set's ${here}";

  real = builtins.filter (name: given ? ${name}) functions;
  set =
    registry
    // {
      postgresql_17 = developed "postgresql_17" "/dev/null";
      python313 = developed "python313" (given.python-setup-hook "lib/python3.13/site-packages");
    }
    // builtins.listToAttrs (
      map (name: {
        inherit name;
        value = given.${name};
      }) real
    )
    // {
      fetchPypi = placed "fetchPypi";
      fetchurl = placed "fetchurl";
      stdenv = given.stdenv // {
        inherit (registry.stdenv) cc;
      };
    };
  others = builtins.filter (name: set ? ${name} && !(builtins.elem name real)) (
    builtins.attrNames contract.names
  );
  said = builtins.trace "hybrid: the tree's own are ${toString real}; the registry set's ${toString others}";
in
builtins.mapAttrs (_: said) (import ./. { inherit set source; }) // { inherit set; }
