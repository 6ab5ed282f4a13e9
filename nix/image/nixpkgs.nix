# What nixpkgs says in their `meta` of the packages that an image holds, for ./sbom.py: of those that are
# named here, not of what they depend on. A prefix of ../registry has none; ./debian.nix is about these.
{ packages }:
map (package: {
  path = package;
  name = package.pname;
  version = package.version or null;
  inherit (package.meta) license;
  # As the NVD looks packages up (nixpkgs' manual, "Software identifiers").
  cpe = package.meta.identifiers.cpe or null;
}) (builtins.filter (package: package ? pname && package ? meta.license) packages)
