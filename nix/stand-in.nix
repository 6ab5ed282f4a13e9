# nixpkgs as far as it can be told without it: exactly the names of ./contract.nix, each an empty
# derivation with the version, outputs and main program that ./nixpkgs.nix says, for any system. The
# check `evaluation` evaluates every output with it, darwin too. A name that is not in that table is not
# here either; one of the contract that is missing there makes the check fail.
{
  # The Nix system.
  system,
  # ./nixpkgs.nix, or less of it, for the test that the check then fails.
  facts ? import ./nixpkgs.nix,
}:
let
  darwin = builtins.match ".*-darwin" system != null;

  # A derivation that cannot be built.
  stub =
    name: attributes:
    derivation (
      {
        inherit name system;
        builder = "/stand-in";
      }
      // attributes
    );

  package =
    name: fact:
    stub name { outputs = [ "out" ] ++ fact.outputs or [ ]; }
    // (if fact ? version then { inherit (fact) version; } else { })
    // {
      pname = name;
      meta =
        (if fact ? mainProgram then { inherit (fact) mainProgram; } else { })
        // (if fact ? licenses then { license = map licence fact.licenses; } else { })
        // (if fact ? cpe then { identifiers = { inherit (fact) cpe; }; } else { });
    };

  # As in nixpkgs' lib.licenses.
  licence = name: if name == "publicDomain" then { shortName = name; } else { spdxId = name; };

  # What is no package.
  special = {
    lib = import ./registry/lib.nix;
    stdenv = {
      hostPlatform = {
        inherit system;
        isLinux = !darwin;
        isDarwin = darwin;
      };
      cc = {
        cc.lib = stub "libraries" { };
        libc = stub "libc" { };
        # As in nixpkgs, where darwin has none.
        bintools.dynamicLinker = if darwin then throw "no dynamic linker on darwin" else "/loader";
      };
    };
    fetchurl =
      {
        name,
        url,
        sha256,
      }:
      stub name { inherit url sha256; };
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
      stub "${pname}-${version}-${python}-${abi}-${platform}.whl" { inherit sha256; };
    runCommand =
      name: attributes: script:
      stub name (removeAttrs attributes [ "meta" ] // { inherit script; })
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
      stub name {
        inherit text;
        inputs = runtimeInputs;
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
      stub name {
        inherit shellHook;
        inputs = packages;
      };
  };
in
builtins.mapAttrs (name: fact: special.${name} or (package name fact)) facts
