# What an image says of the Debian packages in it, where Debian's own tools and scanners look: dpkg's
# record of each in /var/lib/dpkg/status.d, as in other images without a package manager, its copyright
# file, the licences that this refers to, and the release in /etc/os-release. Packages of nixpkgs have
# none of that.
{
  # As in default.nix.
  pkgs,
  build,
  # Prefixes of ../registry, or packages of nixpkgs.
  prefixes,
}:
let
  inherit (pkgs) lib;
  inherit (builtins) concatMap filter;

  filesOf = prefix: filter (file: file ? debian) (prefix.packages or [ ] ++ prefix.notices or [ ]);
  pinsOf = prefix: map (file: file.debian) (filesOf prefix);
  files = concatMap filesOf (lib.unique prefixes);
  there = files != [ ];

  # What copyright files refer to; ./debian_records.py compares.
  licences = [
    "Apache-2.0"
    "Artistic"
    "CC0-1.0"
    "GFDL"
    "GFDL-1.2"
    "GFDL-1.3"
    "GPL"
    "GPL-1"
    "GPL-2"
    "GPL-3"
    "LGPL"
    "LGPL-2"
    "LGPL-2.1"
    "LGPL-3"
  ];

  records = build.runCommand "debian-records" {
    nativeBuildInputs = [ build.python313 ];
    inherit files;
    licences = toString licences;
  } ''python3.13 -X utf8 ${./debian_records.py} "$out" "$licences" $files'';

  file = path: source: { inherit path source; };
in
{
  # A folder with `status.d`, `copyright`, `common-licenses` and `os-release`; null when there is none.
  records = if there then "${records}" else null;

  # Each prefix with its packages.
  prefixes = map (prefix: {
    path = prefix;
    debian = pinsOf prefix;
  }) (filter (prefix: pinsOf prefix != [ ]) (lib.unique prefixes));

  # Some prefixes -> entries of the layer that holds them, as in `Extra` of layer.py.
  recordsOf =
    prefixes:
    concatMap (pin: [
      (file "/var/lib/dpkg/status.d/${pin.name}" "${records}/status.d/${pin.name}")
      (file "/usr/share/doc/${pin.name}/copyright" "${records}/copyright/${pin.name}")
    ]) (concatMap pinsOf (lib.unique prefixes));

  # What no package of these is of, likewise.
  common =
    if there then
      [ (file "/etc/os-release" "${records}/os-release") ]
      ++ map (
        licence: file "/usr/share/common-licenses/${licence}" "${records}/common-licenses/${licence}"
      ) licences
    else
      [ ];
}
