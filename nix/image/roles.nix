# What each image is: its dependency groups, what it runs, and the size that it may have.
#
# The entry point is process 1 alone: Dagster's Helm chart and run launchers, which pass whole commands,
# get what they ask for.
{
  # As in default.nix.
  pkgs,
  build,
  python,
  # As for ./default.nix.
  example,
}:
let
  # For `podman exec` and the Helm chart; in the registry set the two are one.
  shell = pkgs.lib.unique [
    pkgs.bashInteractive
    pkgs.coreutils
  ];

  # The budgets were measured with the registry set. Room for nixpkgs' interpreter and base system, in
  # bytes, until somebody has weighed them: no compiler fits into it.
  unweighed = if pkgs.python313 ? packages then 0 else 25000000;

  role =
    {
      # The role's name, and its dependency groups and extras in pyproject.toml.
      name,
      groups,
      title,
      # What it does, in one line.
      description,
      command,
      # Settings, over those that all images have.
      environment ? { },
      port ? null,
      # How to ask whether the service is well, see healthy.py.
      health,
      # The program that is behind the door, and the module of `dagma` that becomes it. It stands first
      # on PATH, for whole commands of others too.
      door ? null,
      # The folder that the role writes to. It is a volume, so that a read-only image can run.
      state,
      # `bytes` compressed at most, with a `reason`; some room above what was measured, for updates.
      budget,
    }:
    let
      linked = python.environment "image-${name}" groups;
      guarded = build.runCommand "door-${name}" { } ''
        mkdir -p "$out/bin"
        cat >"$out/bin/${door.program}" <<'EOF_PROGRAM'
        #!${linked}/bin/python -P
        import sys
        sys.path.append("/opt/dagster/app")
        from ${door.module} import main
        sys.exit(main())
        EOF_PROGRAM
        chmod 755 "$out/bin/${door.program}"
      '';
      programs = if door == null then [ ] else [ guarded ];
      variables = {
        PATH = "${pkgs.lib.makeBinPath (programs ++ [ linked ] ++ shell)}:/usr/local/bin:/usr/bin:/bin";
        HOME = "/tmp";
        LANG = "C.UTF-8";
        PYTHONUNBUFFERED = "1";
        SSL_CERT_FILE = "/etc/ssl/certs/ca-certificates.crt";
        TZDIR = "/usr/share/zoneinfo";
        DAGMA_HEALTH = health;
      }
      // environment;
    in
    {
      inherit
        title
        description
        groups
        programs
        ;
      budget = budget // {
        bytes = budget.bytes + unweighed;
      };
      wheels = python.closure groups;
      environment = linked;
      # The probe, with the interpreter of the role; -I: nothing of the container's changes it.
      healthy = build.runCommand "healthy-${name}" { } ''
        { echo "#!${linked}/bin/python -I"; cat ${./healthy.py}; } >"$out"
        chmod 755 "$out"
      '';
      config = {
        User = "65532:65532";
        Env = map (key: "${key}=${variables.${key}}") (builtins.attrNames variables);
        # A process 1 without a handler is not ended by SIGTERM, which Python has none of in its first
        # seconds, and one that does not wait for orphans keeps those of runs that were killed.
        Entrypoint = [
          "/bin/tini"
          "--"
        ];
        Cmd = command;
        WorkingDir = state.directory or "/opt/dagster";
        Volumes.${state.volume} = { };
        StopSignal = "SIGTERM";
        # Not of OCI's configuration: Docker reads it, others leave it. As in deploy/compose.yaml, in
        # nanoseconds.
        Healthcheck = {
          Test = [
            "CMD"
            "healthy"
          ];
          Interval = 10000000000;
          Timeout = 6000000000;
          StartPeriod = 60000000000;
          Retries = 6;
        };
      }
      // (if port == null then { } else { ExposedPorts."${toString port}/tcp" = { }; });
    };

  home = "/opt/dagster/dagster_home";
  dagster = {
    DAGSTER_HOME = home;
    DAGMA_MAX_CONCURRENT_RUNS = "4";
    DAGMA_KEEP_TICKS_SKIPPED_DAYS = "7";
    DAGMA_KEEP_TICKS_FAILED_DAYS = "30";
    DAGMA_KEEP_TICKS_DAYS = "90";
    # The name that the service has in a compose file; workspace.yaml reads both.
    DAGMA_USER_CODE_HOST = "user_code";
    USER_CODE_PORT = "4000";
    # Your own modules are importable from here too.
    PYTHONPATH = "/opt/dagster/app";
  };
  ofExample =
    if example == null then
      { }
    else
      {
        RECIPES_SOURCE = "/opt/dagster/recipes";
        DBT_MANIFEST = "/opt/dagster/dbt/manifest.json";
      };
  # A container has one address or several, which it does not know beforehand; the door answers to
  # each, and to the names in DAGMA_ALLOWED_HOSTS.
  everywhere.DAGMA_HOST = "0.0.0.0";
  storage.volume = "${home}/storage";
  workspace = [
    "--workspace"
    "${home}/workspace.yaml"
  ];
in
{
  user-code = role {
    name = "user-code";
    groups = if example == null then python.withKit else python.withExample;
    title = "Dagma user code";
    description =
      if example == null then
        "Dagster's code server for assets of your own, over gRPC on port 4000"
      else
        "Dagster's code server with the example's assets, over gRPC on port 4000";
    command = [
      "python"
      "-P"
      "-m"
      "dagma.code_server"
      "start"
      "--host"
      "0.0.0.0"
      "--port"
      "4000"
    ]
    ++ (
      if example == null then
        [ ] # its user adds a module
      else
        [
          "--module-name"
          "dagma.definitions"
          "--location-name"
          "dagma"
        ]
    );
    environment = dagster // ofExample // {
      MLFLOW_DISABLE_TELEMETRY = "true";
      # Where code binds no IO manager: pickles in one place, which run config cannot move.
      DAGSTER_DEFAULT_IO_MANAGER_MODULE = "dagma.kit.io.files";
      DAGSTER_DEFAULT_IO_MANAGER_ATTRIBUTE = "pickles";
      # Seconds for calls under way after SIGTERM. Dagster's 60 are more than engines wait before
      # they kill (10 to 30).
      DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD = "10";
    };
    port = 4000;
    health = "grpc:4000";
    state = storage;
    budget =
      if example == null then
        {
          bytes = 173000000;
          reason = "166 MB: pyarrow, and numpy with pandas, are 75 MB of it";
          without = python.ofExample;
        }
      else
        {
          bytes = 315000000;
          reason = "304 MB: of the example's packages pyarrow, scipy below gensim, and dbt are 165 MB";
        };
  };

  webserver = role {
    name = "webserver";
    groups = [ "webserver" ];
    title = "Dagma webserver";
    description = "Dagster's web interface, behind the door, on port 3000";
    command = [
      "dagster-webserver"
      "--host"
      "0.0.0.0"
      "--port"
      "3000"
    ]
    ++ workspace;
    environment = dagster // everywhere;
    port = 3000;
    health = "http:3000/server_info";
    door = {
      program = "dagster-webserver";
      module = "dagma.door.webserver";
    };
    state = storage;
    budget = {
      bytes = 88000000;
      reason = "83 MB: Dagster and its web application, no data packages";
    };
  };

  daemon = role {
    name = "daemon";
    groups = [ "daemon" ];
    title = "Dagma daemon";
    description = "Dagster's daemon: the queue of runs, schedules and sensors";
    command = [
      "dagster-daemon"
      "run"
    ]
    ++ workspace;
    environment = dagster;
    health = "heartbeat:120";
    state = storage;
    budget = {
      bytes = 70000000;
      reason = "66 MB: Dagster and its database driver alone";
    };
  };

  mlflow = role {
    name = "mlflow";
    groups = [ "mlflow-server" ];
    title = "Dagma MLflow";
    description = "MLflow's server, behind the door, on port 5000";
    # Options are environment variables: MLFLOW_BACKEND_STORE_URI, MLFLOW_WORKERS, ...
    command = [
      "mlflow"
      "server"
    ];
    environment = everywhere // {
      PYTHONPATH = "/opt/dagster/app"; # where the door is
      MLFLOW_HOST = "0.0.0.0";
      MLFLOW_PORT = "5000";
      MLFLOW_WORKERS = "1";
      MLFLOW_ARTIFACTS_DESTINATION = "/mlflow/artifacts";
      MLFLOW_DISABLE_TELEMETRY = "true";
      MLFLOW_SERVER_ENABLE_JOB_EXECUTION = "false";
    };
    port = 5000;
    health = "http:5000/health";
    door = {
      program = "mlflow";
      module = "dagma.door.mlflow_cli";
    };
    state = {
      volume = "/mlflow";
      directory = "/mlflow";
    };
    budget = {
      bytes = 265000000;
      reason = "255 MB: pyarrow, scipy and scikit-learn, which MLflow requires, are a third of it";
    };
  };
}
