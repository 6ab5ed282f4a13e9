# The pinned artifacts as store paths: lock.json, the untracked lock.local.json of this machine over
# it, and the wheels of ../python/lock.json.
{ system }:
let
  read = file: builtins.fromJSON (builtins.readFile file);
  locked = read ./lock.json;
  local =
    if builtins.pathExists ./lock.local.json then
      read ./lock.local.json
    else
      {
        debian = { };
        seed = { };
      };
  architecture =
    {
      x86_64-linux = "amd64";
      aarch64-linux = "arm64";
    }
    .${system};
  # As deb_name in debian.py: no epoch, no character that Nix refuses.
  withoutEpoch = version: builtins.replaceStrings [ "~" ] [ "." ] (builtins.baseNameOf (builtins.replaceStrings [ ":" ] [ "/" ] version));
in
rec {
  inherit system;
  systems = builtins.attrNames locked.seed;

  loader =
    {
      x86_64-linux = "ld-linux-x86-64.so.2";
      aarch64-linux = "ld-linux-aarch64.so.1";
    }
    .${system};

  # A derivation of known content. Its path is valid once ./nixw has brought the artifact; until then
  # building it fails, and the message is the address below.
  artifact =
    {
      name,
      hash,
      mode ? "flat",
    }:
    derivation {
      inherit name system;
      builder = "builtin:fetchurl";
      url = "file:///missing/${name}/is-brought-by-./nixw";
      outputHash = hash;
      outputHashAlgo = "sha256";
      outputHashMode = mode;
      preferLocalBuild = true;
    };

  # The files of a group of Debian packages.
  debs =
    group:
    builtins.concatMap (
      name:
      let
        pin = (local.debian.${name} or { }).${system} or locked.debian.${group}.${name}.${system} or null;
      in
      if pin == null then
        [ ]
      else
        [
          (artifact {
            name = "${name}_${withoutEpoch pin.version}_${architecture}.deb";
            hash = pin.sha256;
          } // {
            # What a list of components says of it; ../image reads it.
            debian = {
              inherit name architecture;
              inherit (pin) version sha256;
            };
          })
        ]
    ) (builtins.attrNames locked.debian.${group});

  seed = artifact {
    name = "seed";
    hash = local.seed.${system} or locked.seed.${system};
    mode = "recursive";
  };

  wheels = (read ../python/lock.json).packages;
  wheel =
    name:
    artifact {
      name = wheels.${name}.wheels.${system}.file;
      hash = wheels.${name}.wheels.${system}.sha256;
    };

  # Go programs: module, version, and the source with its modules.
  go = builtins.mapAttrs (
    name: pin:
    pin
    // {
      source = artifact {
        name = "${builtins.replaceStrings [ "twin-" ] [ "" ] name}-${pin.version}";
        hash = pin.sha256;
        mode = "recursive";
      };
    }
  ) locked.go;
}
