# What an image says of the Debian packages in it, where Debian's own tools and scanners look: dpkg's
# record of each in /var/lib/dpkg/status.d, as in other images without a package manager, its copyright
# file, and the release in /etc/os-release. Packages of nixpkgs have none of that.
{
  # A package set with the names of ../contract.nix.
  pkgs,
  # Prefixes of ../registry, or packages of nixpkgs.
  prefixes,
}:
let
  inherit (pkgs) lib;
  inherit (builtins) concatMap filter head;

  filesOf = prefix: filter (file: file ? debian) (prefix.packages or [ ]);
  pinsOf = prefix: map (file: file.debian) (filesOf prefix);
  files = concatMap filesOf (lib.unique prefixes);
  release = if files == [ ] then null else (head files).debian.release;

  records = pkgs.runCommand "debian-records" {
    nativeBuildInputs = [ pkgs.python313 ];
    inherit files;
  } ''python3.13 -X utf8 ${./debian_records.py} "$out" $files'';

  # Debian's own has addresses for people; who reads this is a scanner.
  os-release = builtins.toFile "os-release" ''
    PRETTY_NAME="Debian GNU/Linux ${release.number} (${release.name}), in part"
    NAME="Debian GNU/Linux"
    VERSION_ID="${release.number}"
    VERSION="${release.number} (${release.name})"
    VERSION_CODENAME=${release.name}
    ID=debian
  '';
  file = path: source: { inherit path source; };
in
{
  # The distribution, for lists of components; null when there is none.
  system =
    if release == null then
      null
    else
      {
        name = "debian";
        version = release.number;
      };

  # A folder with `status.d` and `copyright`; null as above.
  records = if files == [ ] then null else "${records}";

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

  # /etc/os-release, likewise.
  release = lib.optional (release != null) (file "/etc/os-release" os-release);
}
