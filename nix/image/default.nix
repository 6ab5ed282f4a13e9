# The images: one OCI layout for all roles, from the store paths that the stack runs from.
{
  # A package set with the names listed in ../README.md.
  pkgs,
  # ../python of the same set.
  python,
  # The corpus of the example, as ../stack.nix makes it.
  recipes,
  # The commit that the images are made from, and its time in seconds since 1970.
  revision,
  created,
}:
let
  inherit (pkgs) lib;
  inherit (builtins) elem filter toJSON;

  roles = import ./roles.nix { inherit pkgs python; };
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

  # What layout.py imports; in the store the two are not side by side.
  modules = builtins.path {
    name = "modules";
    path = ./.;
    filter = path: _: baseNameOf path == "layer.py";
  };

  # One layer.
  layer =
    {
      name,
      # What the layer is for, in one line; it becomes its history entry.
      reason,
      # The layer holds the closure of these ...
      roots ? [ ],
      # ... without that of these, which other layers hold.
      below ? [ ],
      # Entries that are not from the store, see `Extra` in layer.py.
      files ? [ ],
    }:
    pkgs.runCommand "layer-${name}" {
      nativeBuildInputs = [ pkgs.python313 ];
      exportReferencesGraph = graphs "inside" roots ++ graphs "outside" below;
      files = toJSON files;
      passAsFile = [ "files" ];
      inherit reason;
    } ''python3.13 ${./layer.py} "$out" "$reason" "$filesPath"'';

  # The libraries and files that all programs share; bash for `podman exec`, and for Dagster's Helm
  # chart, whose commands are lines of bash. Nothing of ours starts by way of a shell.
  base = [
    pkgs.stdenv.cc.cc.lib
    pkgs.zlib
    pkgs.cacert
    pkgs.tzdata
    pkgs.bashInteractive
  ];
  system-files = import ./system-files.nix { inherit pkgs; };

  # name of a wheel -> the roles that have it.
  users = name: filter (role: elem name roles.${role}.wheels) roleNames;

  # The largest wheels have a layer each. The others of the same roles are spread over four
  # layers by their name, so that a new version of one, or a new one, leaves all but one as they are.
  big = [
    "aiohttp"
    "cryptography"
    "dagster"
    "dagster-webserver"
    "databricks-sdk"
    "fonttools"
    "grpcio"
    "kiwisolver"
    "matplotlib"
    "mlflow"
    "mlflow-skinny"
    "mlflow-tracing"
    "narwhals"
    "numpy"
    "pandas"
    "pillow"
    "psycopg2-binary"
    "pyarrow"
    "pydantic"
    "pydantic-core"
    "pygments"
    "pyyaml"
    "qdrant-client"
    "scikit-learn"
    "scipy"
    "sqlalchemy"
    "uvloop"
    "wcwidth"
  ];
  part =
    name:
    let
      digit = builtins.substring 0 1 (builtins.hashString "sha256" name);
    in
    # Sixteen digits, four parts.
    if elem digit [ "0" "1" "2" "3" ] then
      "1"
    else if elem digit [ "4" "5" "6" "7" ] then
      "2"
    else if elem digit [ "8" "9" "a" "b" ] then
      "3"
    else
      "4";
  group =
    name:
    if elem name big then name else "${builtins.concatStringsSep "-" (users name)}-${part name}";

  # A layer of wheels.
  wheelLayer =
    name: members:
    let
      shared = users (builtins.head members);
    in
    layer {
      name = if elem name big then "wheel-${name}" else "wheels-${name}";
      reason =
        if elem name big then
          "large wheel"
        else
          "small wheels of ${builtins.concatStringsSep ", " shared}";
      roots = map (member: python.wheels.${member}) members;
      below = base ++ [ pkgs.python313 ];
    };
  allWheels = lib.unique (builtins.concatLists (map (role: roles.${role}.wheels) roleNames));
  wheelLayers = builtins.mapAttrs wheelLayer (builtins.groupBy group allWheels);

  bottom = [
    (layer {
      name = "base";
      reason = "base system with certificates, time zones, bash and the user";
      roots = base;
      files = system-files;
    })
    (layer {
      name = "python";
      reason = "the interpreter";
      roots = [ pkgs.python313 ];
      below = base;
    })
  ];

  # What dagster.yaml and workspace.yaml say is the same in the stack; values by environment.
  instance = layer {
    name = "instance";
    reason = "DAGSTER_HOME: the instance, and where the code location is";
    files = [
      (file "/opt/dagster/dagster_home/dagster.yaml" ../../src/dagma/stack/dagster.yaml)
      (file "/opt/dagster/dagster_home/workspace.yaml" ../../src/dagma/stack/workspace.yaml)
      (owned "/opt/dagster/dagster_home/storage")
    ];
  };

  corpus = layer {
    name = "corpus";
    reason = "the default corpus of the example";
    files = [ (file "/opt/dagster/recipes/recipes.db" "${recipes}/recipes.db") ];
  };

  # The part of the package that serves assets, without the code that runs a stack. It has no
  # bytecode, which would be three quarters of what an edit makes new; Python compiles the few
  # modules when it starts.
  source = builtins.path {
    name = "dagma";
    path = ../../src/dagma;
    filter =
      path: _:
      !(elem (baseNameOf path) [
        "__pycache__"
        "cli.py"
        "stack"
      ]);
  };
  application = layer {
    name = "application";
    reason = "the code location";
    roots = [ source ];
    files = [
      {
        path = "/opt/dagster/app/dagma";
        target = source;
      }
    ];
  };

  artifacts = layer {
    name = "artifacts";
    reason = "the folder of MLflow's artifacts, for a volume";
    files = [ (owned "/mlflow") ];
  };

  file = path: from: {
    inherit path;
    source = "${from}";
  };
  owned = path: {
    inherit path;
    owner = 65532;
  };

  # The layers of a role above its environment.
  top = {
    user-code = [
      instance
      corpus
      application
    ];
    webserver = [ instance ];
    daemon = [ instance ];
    mlflow = [ artifacts ];
  };

  links =
    role:
    layer {
      name = "links-${role}";
      reason = "links to the wheels, and their commands";
      roots = [
        roles.${role}.environment
        roles.${role}.healthy
      ];
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
      names = lib.unique (map group roles.${role}.wheels);
      shared = name: builtins.length (users (builtins.head (filter (wheel: group wheel == name) allWheels)));
      ordered = builtins.sort (
        one: other: if shared one == shared other then one < other else shared one > shared other
      ) names;
    in
    bottom
    ++ map (name: wheelLayers.${name}) ordered
    ++ [ (links role) ]
    ++ top.${role};

  # All that the layers of a role hold of the store.
  referenced =
    role:
    base
    ++ [
      roles.${role}.environment
      roles.${role}.healthy
    ]
    ++ lib.optional (role == "user-code") source;

  architectures = {
    x86_64-linux = "amd64";
    aarch64-linux = "arm64";
  };
  labels = {
    "org.opencontainers.image.revision" = revision;
    "org.opencontainers.image.version" = python.project.version;
    "org.opencontainers.image.licenses" = python.project.license;
  }
  // (
    # Where the project is published, once it says so.
    if python.project ? urls.Source then
      { "org.opencontainers.image.source" = python.project.urls.Source; }
    else
      { }
  );
in
{
  # role -> the compressed bytes it may have at most, and why.
  budgets = builtins.mapAttrs (_: role: role.budget) roles;

  image = pkgs.runCommand "image" {
    nativeBuildInputs = [ pkgs.python313 ];
    PYTHONPATH = modules;
    exportReferencesGraph = builtins.concatLists (
      map (role: graphs "closure-${role}" (referenced role)) roleNames
    );
    specification = toJSON {
      inherit created labels;
      architecture = architectures.${pkgs.stdenv.hostPlatform.system};
      roles = builtins.mapAttrs (role: image: {
        layers = layersOf role;
        inherit (image) title config;
      }) roles;
    };
    passAsFile = [ "specification" ];
  } ''python3.13 ${./layout.py} "$out" "$specificationPath"'';
}
