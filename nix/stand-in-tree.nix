# The stand-in as a checkout that ./hybrid.nix can take: what that asks of nixpkgs beside the names of
# the contract, and what it hands to nixpkgs evaluated to the end.
{
  system,
  stdenvStages ? null,
  overlays ? [ ],
}:
let
  plain = import ./stand-in.nix { inherit system; };
  overridable = package: package // { override = changes: builtins.deepSeq changes package; };
  # The path of known content is the same however it is made.
  known =
    { name, sha256, ... }:
    derivation {
      inherit name system;
      builder = "/stand-in";
      outputHash = sha256;
      outputHashAlgo = "sha256";
    };
  set =
    plain
    // {
      stdenv =
        if stdenvStages == null then
          overridable plain.stdenv
        else
          (builtins.head (stdenvStages {
            config = { };
            inherit overlays;
          }) { }).stdenv;
      fetchurl = overridable { __functor = _: known; };
      fetchPypi =
        arguments:
        known {
          inherit (plain.fetchPypi arguments) name;
          inherit (arguments) sha256;
        };
      python-setup-hook =
        sitePackages:
        derivation {
          name = "python-setup-hook.sh";
          inherit system sitePackages;
          builder = "/stand-in";
        };
    };
  overlaid = builtins.foldl' (previous: overlay: previous // overlay overlaid previous) set overlays;
in
# An overlay's names are used by nixpkgs' functions, which the stand-in does not have.
builtins.deepSeq (map (overlay: overlay overlaid set) overlays) overlaid
