# What nixpkgs has under the names of ./contract.nix, as read in its own files on 2026-11-21:
# ./stand-in.nix is made of it, and nothing else stands in for nixpkgs. Of each name:
#   file         where it is defined, in nixpkgs
#   read         the revision of that file that was read. None is the locked one (../flake.lock), which
#                was out of reach: `nix run .#lock` tells, where nixpkgs is in reach, what differs there
#   version      there, if the file says it
#   outputs      beside `out`
#   mainProgram  `meta.mainProgram`, where the package has one
#   licenses     those in `meta.license` by `spdxId`, or `shortName` where SPDX has none; of what images hold
#   cpe          `meta.identifiers.cpe`, likewise
{
  bashInteractive = {
    file = "pkgs/shells/bash/5.nix";
    read = "013635633ffe";
    outputs = [
      "dev"
      "man"
      "doc"
      "info"
    ];
    mainProgram = "bash";
    licenses = [ "GPL-3.0-or-later" ];
  };
  cacert = {
    file = "pkgs/by-name/ca/cacert/package.nix";
    read = "04e8a1744818";
    version = "3.119.1";
    outputs = [
      "unbundled"
      "p11kit"
      "hashed"
    ];
    licenses = [ "MPL-2.0" ];
    cpe = "cpe:2.3:a:mozilla:nss:3.119.1:*:*:*:*:*:*:*";
  };
  # One program under many names, which goes by the name that it is called by.
  coreutils = {
    file = "pkgs/by-name/co/coreutils/package.nix";
    read = "1b3d932e0984";
    version = "9.11";
    outputs = [ "info" ];
    licenses = [ "GPL-3.0-or-later" ];
    cpe = "cpe:2.3:a:gnu:coreutils:9.11:*:*:*:*:*:*:*";
  };
  distribution = {
    file = "pkgs/by-name/di/distribution/package.nix";
    read = "0316fab8fd76";
    version = "3.0.0-alpha.1";
    mainProgram = "registry";
  };
  # It builds the address from the name, version and tags, and asks for it without pip's settings.
  fetchPypi = {
    file = "pkgs/build-support/fetchpypi/default.nix";
    read = "13c8ddb845ee";
  };
  fetchurl = {
    file = "pkgs/build-support/fetchurl/default.nix";
    read = "005b8027ceae";
  };
  lib = {
    file = "lib/default.nix";
    read = "00022fbeda38";
  };
  mkShellNoCC = {
    file = "pkgs/build-support/mkshell/default.nix";
    read = "07c91341fd6e";
  };
  postgresql_17 = {
    file = "pkgs/servers/sql/postgresql/generic.nix";
    read = "0010ba25b80e";
    version = "17.0";
    outputs = [
      "dev"
      "doc"
      "lib"
      "man"
    ];
  };
  process-compose = {
    file = "pkgs/by-name/pr/process-compose/package.nix";
    read = "005ab72f9cf5";
    version = "1.94.0";
    mainProgram = "process-compose";
  };
  # Its library has three levels of bytecode, idlelib, ensurepip and the folder of its configuration.
  python313 = {
    file = "pkgs/development/interpreters/python/cpython/default.nix";
    read = "007088359e7a";
    mainProgram = "python3.13";
    licenses = [ "Python-2.0" ];
  };
  runCommand = {
    file = "pkgs/build-support/trivial-builders/default.nix";
    read = "00ee9b64aafe";
  };
  shellcheck = {
    file = "pkgs/development/tools/shellcheck/default.nix";
    read = "05924f714f31";
    outputs = [
      "bin"
      "man"
      "doc"
    ];
    mainProgram = "shellcheck";
  };
  # Its program is a wrapper, and its policy lies beside it.
  skopeo = {
    file = "pkgs/by-name/sk/skopeo/package.nix";
    read = "044b684b71e9";
    version = "1.22.1";
    outputs = [ "man" ];
    mainProgram = "skopeo";
  };
  stdenv = {
    file = "pkgs/build-support/cc-wrapper/default.nix";
    read = "0042eae49edf";
  };
  tini = {
    file = "pkgs/by-name/ti/tini/package.nix";
    read = "044b684b71e9";
    version = "0.19.0";
    mainProgram = "tini";
    licenses = [ "MIT" ];
  };
  tzdata = {
    file = "pkgs/by-name/tz/tzdata/package.nix";
    read = "0c5d4649e43e";
    version = "2025b";
    outputs = [
      "bin"
      "man"
      "dev"
    ];
    licenses = [
      "BSD-3-Clause"
      "publicDomain"
    ];
  };
  writeShellApplication = {
    file = "pkgs/build-support/trivial-builders/default.nix";
    read = "00ee9b64aafe";
  };
  zlib = {
    file = "pkgs/development/libraries/zlib/default.nix";
    read = "00976b194fe3";
    version = "1.2.11";
    outputs = [
      "dev"
      "static"
    ];
    licenses = [ "Zlib" ];
  };
  # Without a `mainProgram`, and without the dashboard's files.
  qdrant = {
    file = "pkgs/by-name/qd/qdrant/package.nix";
    read = "0239a88074ac";
    version = "1.16.3";
  };
  # The files themselves, `index.html` among them, are the output; NixOS hands it to the server as it is.
  qdrant-web-ui = {
    file = "pkgs/by-name/qd/qdrant-web-ui/package.nix";
    read = "8e99004c3bd7";
    version = "0.1.30";
  };
}
