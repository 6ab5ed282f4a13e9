# A package set with the names of nixpkgs that this project uses (the contract in ../README.md),
# made from Debian packages, wheels and Go modules that ./nixw has put into the store.
{
  # The Nix system that the packages are for, x86_64-linux or aarch64-linux.
  system,
  # The one that builds them. Nothing of another system is ever run.
  builder ? system,
}:
let
  lock = import ./lock.nix { inherit system; };
  debian = import ./debian.nix {
    inherit lock;
    tools = if native then lock else import ./lock.nix { system = builder; };
  };
  native = builder == system;
  lib = import ./lib.nix;

  # A derivation whose build script is bash, with coreutils on PATH. Name and arguments as in nixpkgs.
  runCommand =
    name: attributes: script:
    derivation (
      {
        inherit name system script;
        builder = "${base}/bin/bash";
        # As nixpkgs' stdenv: what fails anywhere in a pipe fails the build.
        args = [
          "-euo"
          "pipefail"
          "-c"
          "eval \"$script\""
        ];
        PATH = lib.makeBinPath ((attributes.nativeBuildInputs or [ ]) ++ [ base ]);
      }
      // removeAttrs attributes [
        "nativeBuildInputs"
        "meta"
      ]
    )
    // {
      meta = attributes.meta or { };
    };

  base = debian.prefix {
    name = "base";
    # update-ca-certificates and locale generation are install scripts in Debian; this is their work.
    finish = ''
      mkdir -p etc/ssl/certs
      find share/ca-certificates/mozilla -name '*.crt' | sort | while read -r file; do
        cat "$file"
      done >etc/ssl/certs/ca-bundle.crt
      ln -s bash bin/sh
    ''
    # Of arm64 Debian has the loader as a link into the folder that debian.sh merges away, and loses
    # the file with. It is taken out anew, here, so that the prefixes of x86_64 stay what they are.
    + (
      if system == "aarch64-linux" then
        ''
          rm lib/${lock.loader}
          for package in $packages; do
            case $package in
              *-libc6_*) ar p "$package" data.tar.xz | tar -x -J -O ./usr/lib/aarch64-linux-gnu/${lock.loader} >lib/${lock.loader} ;;
            esac
          done
          [ -s lib/${lock.loader} ]
          chmod 755 lib/${lock.loader}
        ''
      else
        ""
    );
  }
  # What copyright files refer to: texts of licences, and the file of GCC's libraries.
  // {
    notices = lock.debs "notices";
  };

  # The locale C.UTF-8, which nixpkgs' glibc has in itself. Debian's looks for it in /usr/lib/locale.
  locale = debian.prefix {
    name = "locale";
    libraries = [ base ];
    finish = "rm -rf bin etc share";
  };

  withProgram = package: name: package // { meta.mainProgram = name; };

  goPrefix =
    group: version:
    withProgram (debian.prefix {
      name = group;
      finish = ''
        mkdir -p bin
        rm -rf lib/go-${version}/test
        ln -s ../lib/go-${version}/bin/go bin/go
      '';
      libraries = [ base ];
    }) "go";

  # A program of the lock's, built by a Go.
  goProgram =
    {
      # One of `go` in lock.nix.
      pin,
      go,
      # The program's name, and the package in the module that it is.
      program,
      package ? ".",
      # The variable that takes the version.
      variable,
    }:
    withProgram (
      runCommand "${program}-${pin.version}"
        {
          nativeBuildInputs = [ go ];
          inherit (pin) source version;
          CGO_ENABLED = "0";
          GOTOOLCHAIN = "local";
          GOFLAGS = "-mod=vendor -trimpath -buildvcs=false";
        }
        ''
          export HOME=$TMPDIR GOCACHE=$TMPDIR/cache
          cd "$source"
          go build -o "$out/bin/${program}" \
            -ldflags "-s -w -X ${pin.module}/${variable}=v$version" ${package}
        ''
    ) program;

  twins = import ./twins.nix {
    inherit
      lock
      debian
      base
      goPrefix
      goProgram
      ;
  };
  # The one that compiles: bytecode is the same for all systems.
  interpreter = if native then "$out" else (import ./. { system = builder; }).python313;
  # A package whose other form is `twin`; the checks of ../twins.nix run with that.
  beside = name: package: package // { twin = twins.${name}; };
in
rec {
  inherit lib runCommand system;

  # What images are made of, for the other systems, by this one's programs.
  assembledFor = builtins.listToAttrs (
    map (other: {
      name = other;
      value = {
        inherit
          (import ./. {
            system = other;
            builder = system;
          })
          bashInteractive
          cacert
          coreutils
          lib
          python313
          stdenv
          tini
          tzdata
          zlib
          ;
      };
    }) (builtins.filter (other: other != system) lock.systems)
  );

  bashInteractive = base;
  coreutils = beside "coreutils" base;
  tzdata = base;
  cacert = base;

  # What nixpkgs calls the compiler's libraries and loader; here they are Debian's.
  stdenv = {
    hostPlatform = {
      inherit system;
      isLinux = true;
      isDarwin = false;
    };
    cc = {
      cc.lib = base;
      libc = locale;
      bintools.dynamicLinker = "${base}/lib/${lock.loader}";
    };
  };
  zlib = base;

  python313 = beside "python313" (debian.prefix {
    name = "python";
    libraries = [ base ];
    # Debian marks its Python as its own package manager's; in the store nobody's is.
    finish = ''
      rm -f lib/python3.13/EXTERNALLY-MANAGED lib/python3.13/sitecustomize.py
      rm -rf lib/python3.13/test lib/python3.13/idlelib lib/python3.13/turtledemo
      mkdir -p lib/python3.13/site-packages
      find lib/python3.13 -name __pycache__ -type d -prune -exec rm -rf {} +
      ln -sf python3.13 bin/python3
      ln -sf python3.13 bin/python
      # -f: what the interpreter compiles for itself while it does this is of another kind.
      "${interpreter}/bin/python3.13" -m compileall -q -f -j 0 --invalidation-mode unchecked-hash lib/python3.13
    '';
  });

  postgresql_17 = debian.prefix {
    name = "postgresql";
    libraries = [ base ];
    # Just-in-time compilation costs 130 MB of LLVM and pays off in long analytical queries only.
    finish = ''
      rm -rf lib/postgresql/17/lib/bitcode lib/postgresql/17/lib/llvmjit* lib/postgresql/17/lib/pgxs
      mkdir -p bin
      for program in lib/postgresql/17/bin/*; do ln -s "../$program" bin/; done
    '';
  };

  shellcheck = debian.prefix {
    name = "shellcheck";
    libraries = [ base ];
  };

  skopeo = debian.prefix {
    name = "skopeo";
    libraries = [ base ];
  };

  # Debian has it with its C library inside too, which is 25 times as large.
  tini = debian.prefix {
    name = "tini";
    libraries = [ base ];
    finish = "rm bin/tini-static";
  };

  # Debian has the release before 3, whose program has a name of its own.
  distribution = beside "distribution" (debian.prefix {
    name = "distribution";
    libraries = [ base ];
    finish = "ln -s docker-registry bin/registry";
  });

  go = goPrefix "go" "1.24";

  process-compose = beside "process-compose" (goProgram {
    pin = lock.go.process-compose;
    inherit go;
    program = "process-compose";
    variable = "src/config.Version";
  });

  # nixpkgs' fetchurl. The file is taken out of a Debian package instead: the hash says that it is the
  # same, and so the store path is the same too.
  fetchurl =
    {
      name,
      url,
      sha256,
    }:
    debian.file {
      inherit name sha256;
      from =
        {
          "recipes.db" = {
            group = "recipes";
            path = "usr/share/gnome-recipes/recipes.db";
          };
        }
        .${name} or (throw "the registry set has no ${name} of ${url}: name a Debian package that holds it here");
    };

  # nixpkgs' fetchPypi for wheels. The content is found in the store by its hash, never fetched.
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
    lock.artifact {
      name = "${pname}-${version}-${python}-${abi}-${platform}.whl";
      hash = sha256;
    };

  # A script with a fixed PATH; arguments and checks as in nixpkgs.
  writeShellApplication =
    {
      name,
      text,
      runtimeInputs ? [ ],
      meta ? { },
    }:
    runCommand name
      {
        content = ''
          #!${base}/bin/bash
          set -o errexit
          set -o nounset
          set -o pipefail

          export PATH="${lib.makeBinPath runtimeInputs}:$PATH"

          ${text}
        '';
        passAsFile = [ "content" ];
        meta = meta // {
          mainProgram = name;
        };
      }
      ''
        mkdir -p "$out/bin"
        cp "$contentPath" "$out/bin/$name"
        chmod 755 "$out/bin/$name"
        ${base}/bin/bash -n "$out/bin/$name"
        ${shellcheck}/bin/shellcheck "$out/bin/$name"
      '';

  # What `nix develop` enters: the packages on PATH, then shellHook.
  mkShellNoCC =
    {
      name ? "shell",
      packages ? [ ],
      shellHook ? "",
      ...
    }@arguments:
    runCommand name (
      removeAttrs arguments [
        "name"
        "packages"
      ]
      // {
        nativeBuildInputs = packages;
        # `nix develop` reads the variable of this name.
        outputs = [ "out" ];
      }
    ) "echo 'a shell is entered with nix develop' >\"$out\"";
}
