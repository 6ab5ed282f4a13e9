# The layers of all images: what is together in one, and what a role has. Cut so that what changes
# for one reason is in one layer, and that images share what they have in common.
{
  # As in default.nix.
  pkgs,
  build,
  python,
  # As for ./default.nix.
  example,
  # ./roles.nix of the same set.
  roles,
}:
let
  inherit (pkgs) lib;
  inherit (builtins) elem filter toJSON;

  roleNames = builtins.attrNames roles;

  # `exportReferencesGraph`: the closure of each root in a file of its own.
  graphs =
    name: roots:
    builtins.concatLists (
      builtins.genList (index: [
        "${name}-${toString index}"
        (builtins.elemAt roots index)
      ]) (builtins.length roots)
    );

  # One layer; `again` is its layer.json when it is made a second time, see `otherwise`.
  layer =
    {
      name,
      # What the layer is for, in a few words; it becomes its history entry.
      reason,
      # The layer holds the closure of these ...
      roots ? [ ],
      # ... without that of these, which other layers hold.
      below ? [ ],
      # Entries that are not from the store, see `Extra` in layer.py.
      files ? [ ],
    }:
    let
      make = build.runCommand "layer-${name}" {
        nativeBuildInputs = [ build.python313 ];
        exportReferencesGraph = graphs "inside" roots ++ graphs "outside" below;
        files = toJSON files;
        passAsFile = [ "files" ];
        inherit reason;
      };
      # UTF-8 mode: some certificates' names are not ASCII, and the locale is not to matter.
      write = out: ''python3.13 -X utf8 ${./layer.py} "${out}" "$reason" "$filesPath"'';
    in
    make (write "$out")
    // {
      again = make ''
        ${otherwise}
        ${write "layer"}
        cp layer/layer.json "$out"
      '';
    };

  # What a machine and its user bring along, and what may not change a byte.
  otherwise = ''
    umask 077
    export TZ=Asia/Kathmandu LANG=C LC_ALL=C PYTHONUTF8=0 PYTHONHASHSEED=1
    mkdir elsewhere
    export TMPDIR=$PWD/elsewhere
  '';

  # The libraries and files that all programs share; bash and coreutils for `podman exec`, and for
  # Dagster's Helm chart, whose commands are lines of bash. Nothing of ours starts by way of a shell.
  base = [
    pkgs.stdenv.cc.cc.lib
    pkgs.stdenv.cc.libc
    pkgs.zlib
    pkgs.cacert
    pkgs.tzdata
    pkgs.bashInteractive
    pkgs.coreutils
  ];
  # With what no wheel refers to: process 1.
  system = base ++ [ pkgs.tini ];
  system-files = import ./system-files.nix { inherit pkgs; };
  debian = import ./debian.nix {
    inherit pkgs build;
    prefixes = system ++ [ pkgs.python313 ];
  };
  nixpkgs = import ./nixpkgs.nix { packages = system ++ [ pkgs.python313 ]; };

  # name of a wheel -> the roles that have it.
  users = name: filter (role: elem name roles.${role}.wheels) roleNames;

  # The largest wheels have a layer each ...
  large = [
    "aiohttp"
    "cryptography"
    "dagster"
    "dagster-webserver"
    "dbt-core"
    "gensim"
    "grpcio"
    "matplotlib"
    "mlflow"
    "mlflow-skinny"
    "numpy"
    "pyarrow"
    "pydantic"
    "pygments"
    "pyyaml"
    "qdrant-client"
    "scikit-learn"
    "scipy"
    "sqlalchemy"
    "uvloop"
  ];
  # ... with those that are released with them, or that only they bring: each layer costs its place in
  # the manifest and the configuration, which every edit sends anew.
  together-with = {
    babel = "dbt-core";
    dagster-graphql = "dagster-webserver";
    dagster-pipes = "dagster";
    dagster-postgres = "dagster";
    dagster-shared = "dagster";
    databricks-sdk = "mlflow-skinny";
    fonttools = "matplotlib";
    kiwisolver = "matplotlib";
    mlflow-tracing = "mlflow";
    networkx = "dbt-core";
    pandas = "numpy";
    pillow = "matplotlib";
    psycopg2-binary = "sqlalchemy";
    pydantic-core = "pydantic";
    sqlglot = "dbt-core";
    sqlglotc = "dbt-core";
    sqlglotrs = "dbt-core";
  };

  # A name -> a number below `count`, the same whatever other names there are.
  spread =
    count: name:
    let
      # Nix reads no hexadecimal numbers, TOML has them.
      inherit (builtins.fromTOML "number = 0x${builtins.substring 2 2 (builtins.hashString "sha256" name)}")
        number
        ;
    in
    number - number / count * count;

  allWheels = lib.unique (builtins.concatLists (map (role: roles.${role}.wheels) roleNames));
  leader = name: together-with.${name} or name;
  audience =
    name:
    if users name == roleNames then "every role" else builtins.concatStringsSep ", " (users name);
  smallWheels = builtins.groupBy audience (filter (name: !(elem (leader name) large)) allWheels);

  # The other wheels of the same roles are spread by their name, about eight to a layer, so that a
  # new version of one, or a new one, leaves the other layers as they are.
  reasonOf =
    name:
    let
      count = 1 + builtins.length smallWheels.${audience name} / 8;
    in
    if elem (leader name) large && users name == users (leader name) then
      leader name
    else if elem (leader name) large then
      "${leader name} of ${audience name}"
    else
      "wheels of ${audience name} ${toString (1 + spread count name)}/${toString count}";

  # Why -> a layer of wheels.
  wheelLayers = builtins.mapAttrs (
    reason: members:
    layer {
      name = builtins.replaceStrings [ ", " " " "/" ] [ "-" "-" "-" ] reason;
      inherit reason;
      roots = map (member: python.wheels.${member}) members;
      below = base ++ [ pkgs.python313 ];
    }
  ) (builtins.groupBy reasonOf allWheels);

  bottom = [
    (layer {
      name = "base";
      reason = "base system with certificates, time zones, bash, process 1 and the user";
      roots = system;
      files = system-files ++ debian.common ++ debian.recordsOf system;
    })
    (layer {
      name = "python";
      reason = "the interpreter";
      roots = [ pkgs.python313 ];
      files = debian.recordsOf [ pkgs.python313 ];
      below = system;
    })
  ];

  # What dagster.yaml and workspace.yaml say is the same in the stack; values by environment. The
  # classes that dagster.yaml names are for webserver and daemon too.
  instanceModules = [
    "__init__.py"
    "run_worker.py"
    "stopped.py"
  ]
  ++ modulesOf "instance"
  ++ doorModules;

  # What webserver and MLflow are behind, and how MLflow finds it.
  doorModules = modulesOf "door";
  modulesOf =
    package:
    map (name: "${package}/${name}") (
      filter (name: builtins.match ".*[.]py" name != null) (
        builtins.attrNames (builtins.readDir (../../src/dagma + "/${package}"))
      )
    );
  door = layer {
    name = "door";
    reason = "the door, who may ask MLflow for what";
    files =
      map packaged (
        [
          "__init__.py"
          "mlflow_artifacts.py"
        ]
        ++ doorModules
      )
      ++ map
        (
          name:
          file "/opt/dagster/app/${baseNameOf python.info}/${name}" "${python.metadata}/${python.info}/${name}"
        )
        [
          "METADATA"
          "entry_points.txt"
        ];
  };
  instance = layer {
    name = "instance";
    reason = "DAGSTER_HOME: the instance, and where the code location is";
    files = map packaged instanceModules ++ [
      (file "/opt/dagster/dagster_home/dagster.yaml" ../../src/dagma/instance/dagster.yaml)
      (file "/opt/dagster/dagster_home/workspace.yaml" ../../src/dagma/instance/workspace-port.yaml)
      (owned "/opt/dagster/dagster_home/storage")
    ];
  };

  corpus = layer {
    name = "corpus";
    reason = "the default corpus of the example";
    files = [ (file "/opt/dagster/recipes/recipes.db" example.recipes.file) ];
  };
  manifest = layer {
    name = "dbt-manifest";
    reason = "the manifest of the example's dbt project";
    files = [ (file "/opt/dagster/dbt/manifest.json" example.dbtManifest) ];
  };

  # The part of the package that serves assets, without the code that runs a stack. It has no
  # bytecode, which would be three quarters of what an edit makes new; Python compiles the few
  # modules when it starts. The files, each a store path, are spread over eighteen layers by their
  # path: then one edit costs the same small layer however large a folder grows, and a new file or
  # folder needs no line here.
  sourceFiles =
    folder:
    builtins.concatLists (
      builtins.attrValues (
        builtins.mapAttrs (
          name: type:
          if
            elem "${folder}${name}" (
              [
                "cli"
                "instance"
                "stack"
              ]
              ++ instanceModules
              ++ (
                if example == null then
                  [
                    "definitions.py"
                    "defs"
                  ]
                else
                  [ ]
              )
            )
            || builtins.match "__pycache__|[.].*" name != null
          then
            [ ]
          else if type == "directory" then
            sourceFiles "${folder}${name}/"
          else
            [ "${folder}${name}" ]
        ) (builtins.readDir (../../src/dagma + "/${folder}"))
      )
    );
  application = builtins.attrValues (
    builtins.mapAttrs (
      part: paths:
      layer {
        name = "application-${part}";
        reason = "code location ${part}/18";
        files = map packaged paths;
      }
    ) (builtins.groupBy (path: toString (1 + spread 18 path)) (sourceFiles ""))
  );

  artifacts = layer {
    name = "artifacts";
    reason = "the folder of MLflow's artifacts, for a volume";
    files = [ (owned "/mlflow") ];
  };

  file = path: from: {
    inherit path;
    source = "${from}";
  };
  packaged = path: file "/opt/dagster/app/dagma/${path}" (../../src/dagma + "/${path}");
  # Group 0 writes too: OpenShift starts containers as a user of its own choice in that group.
  owned = path: {
    inherit path;
    owner = 65532;
    mode = "0775";
  };

  # The layers of a role above its environment.
  top = {
    user-code = [
      instance
    ]
    ++ (
      if example == null then
        [ ]
      else
        [
          corpus
          manifest
        ]
    )
    ++ application;
    webserver = [ instance ];
    daemon = [ instance ];
    mlflow = [
      artifacts
      door
    ];
  };

  links =
    role:
    layer {
      name = "links-${role}";
      reason = "links to the wheels, and their commands";
      roots = [
        roles.${role}.environment
        roles.${role}.healthy
      ]
      ++ roles.${role}.programs;
      files = [
        {
          path = "/bin/healthy";
          target = roles.${role}.healthy;
        }
      ];
      below = base ++ [ pkgs.python313 ] ++ map (name: python.wheels.${name}) roles.${role}.wheels;
    };

  # Below what most images share, on top what changes most often.
  layersOf =
    role:
    let
      wheels = builtins.groupBy reasonOf roles.${role}.wheels;
      shared = reason: builtins.length (users (builtins.head wheels.${reason}));
      ordered = builtins.sort (
        one: other: if shared one == shared other then one < other else shared one > shared other
      ) (builtins.attrNames wheels);
    in
    bottom
    ++ map (reason: wheelLayers.${reason}) ordered
    ++ [ (links role) ]
    ++ top.${role};

  # All that the layers of a role hold of the store, but for single files.
  referenced =
    role:
    system
    ++ [
      roles.${role}.environment
      roles.${role}.healthy
    ]
    ++ roles.${role}.programs;
in
{
  inherit
    graphs
    otherwise
    bottom
    corpus
    debian
    nixpkgs
    application
    layersOf
    referenced
    ;
}
