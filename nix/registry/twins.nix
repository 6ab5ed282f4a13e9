# Programs of the contract as nixpkgs has them where ours are otherwise: a newer release, another form.
# The checks in ../twins.nix run with them; nothing that a user starts does.
{
  lock,
  debian,
  # The prefix with the C library.
  base,
  # As in default.nix.
  goPrefix,
  goProgram,
}:
let
  go = goPrefix "twin-go" "1.26";
in
{
  # One program for all, that goes by the name it is called by.
  coreutils = debian.prefix {
    name = "twin-coreutils";
    libraries = [ base ];
    finish = ''
      for program in lib/cargo/bin/coreutils/*; do ln -s coreutils "bin/''${program##*/}"; done
      rm -rf lib share
    '';
  };

  # With three levels of bytecode, IDLE, ensurepip and what extensions are compiled with. What lies in
  # lib/ itself is Debian's alone, and a link leads to a library that is not there.
  python313 = debian.prefix {
    name = "twin-python";
    more = [ "python" ];
    libraries = [ base ];
    finish = ''
      rm -f lib/python3.13/sitecustomize.py lib/libpython3.13.*
      mkdir -p lib/python3.13/site-packages
      for file in lib/python3.13/_sysconfigdata*.py; do
        ln -s "$out/$file" lib/python3.13/site-packages/
      done
      ln -s idle-python3.13 bin/idle3.13
      for config in bin/*-python3.13-config; do ln -s "''${config##*/}" bin/python3.13-config; done
      for name in idle pydoc; do
        ln -s "''${name}3.13" "bin/''${name}3"
        ln -s "''${name}3" "bin/$name"
      done
      ln -sf python3.13 bin/python3
      ln -sf python3.13 bin/python
      ln -s python3.13-config bin/python3-config
      ln -s python3-config bin/python-config
      for level in "" -O -OO; do
        "$out/bin/python3.13" $level -m compileall -q -f -j 0 --invalidation-mode checked-hash lib/python3.13
      done
    '';
  };

  # Of the releases that nixpkgs 26.05 has had (1.94 to 1.110) the one that the Go module proxy gives
  # with all that it is made of.
  process-compose =
    goProgram {
      pin = lock.go.twin-process-compose;
      inherit go;
      program = "process-compose";
      variable = "src/config.Version";
    }
    // {
      inherit go;
    };

  distribution = goProgram {
    pin = lock.go.twin-distribution;
    inherit go;
    program = "registry";
    package = "./cmd/registry";
    variable = "version.version";
  };
}
