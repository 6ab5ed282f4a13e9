# A package set of empty derivations with nixpkgs' signatures, for any system. The check `evaluation`
# uses it to evaluate every output as nixpkgs would have it, darwin too, where nixpkgs is out of reach.
{ system }:
let
  stub =
    name:
    derivation {
      inherit name system;
      builder = "/stand-in";
    }
    // {
      meta = { };
      version = "0";
    };
  darwin = builtins.match ".*-darwin" system != null;
in
builtins.listToAttrs (
  map (name: {
    inherit name;
    value = stub name;
  }) ((import ./contract.nix).required ++ [ "qdrant" ])
)
// {
  lib = import ./registry/lib.nix;
  stdenv = {
    hostPlatform = {
      inherit system;
      isLinux = !darwin;
      isDarwin = darwin;
    };
    cc = {
      cc.lib = stub "libraries";
      libc = stub "libc";
      # As in nixpkgs, where darwin has none.
      bintools.dynamicLinker = if darwin then throw "no dynamic linker on darwin" else "/loader";
    };
  };
  patchelf = if darwin then throw "no patchelf on darwin" else stub "patchelf";
  fetchPypi =
    {
      pname,
      version,
      format,
      dist,
      python,
      abi,
      platform,
      sha256,
    }:
    stub "${pname}-${version}-${python}-${abi}-${platform}.whl";
  runCommand =
    name: attributes: script:
    derivation (
      removeAttrs attributes [ "meta" ]
      // {
        inherit name system script;
        builder = "/stand-in";
      }
    )
    // {
      meta = attributes.meta or { };
    };
  writeShellApplication =
    {
      name,
      text,
      runtimeInputs ? [ ],
      meta ? { },
    }:
    derivation {
      inherit name system text;
      inputs = runtimeInputs;
      builder = "/stand-in";
    }
    // {
      inherit meta;
    };
  mkShellNoCC =
    {
      name,
      packages,
      shellHook,
      ...
    }:
    derivation {
      inherit name system shellHook;
      inputs = packages;
      builder = "/stand-in";
    };
}
