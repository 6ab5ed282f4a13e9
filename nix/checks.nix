# The checks of `nix flake check`; each leaves its report in $out.
{
  pkgs,
  # ./python and ./stack.nix of the same set.
  python,
  stack,
  # ./image of the same set; null on darwin.
  images,
  # The same of the user-code image without the example.
  withoutExample,
  # The same for other architectures: name of the layout -> images.
  foreignImages,
  # The flake's own source.
  source,
  # All outputs of ./default.nix, these checks among them.
  outputs,
}:
let
  inherit (pkgs) lib;

  # nixpkgs' builders point both at a file that does not exist.
  certificates = "SSL_CERT_FILE=${bundle} NIX_SSL_CERT_FILE=${bundle}";
  bundle = "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt";

  # Commands in a writable copy of the checkout, or of what they need of it (path in the checkout ->
  # file or folder), so that other edits leave the result valid. Output is both shown and kept.
  inCheckout =
    name: tools: files: script:
    pkgs.runCommand "check-${name}" {
      nativeBuildInputs = tools ++ [ pkgs.coreutils ];
      # macOS' build sandbox, where it is on, lets nobody listen, not even on loopback.
      __darwinAllowLocalNetworking = true;
    } ''
      export HOME=$TMPDIR RECIPES_SOURCE=${stack.recipes.file} DBT_MANIFEST=${stack.dbtManifest} ${certificates}
      ${stack.dashboard}
      mkdir "$TMPDIR/checkout"
      cd "$TMPDIR/checkout"
      ${builtins.concatStringsSep "\n" (
        map (path: ''
          mkdir -p "$(dirname ${path})"
          cp -r ${files.${path}} ${path}
        '') (builtins.attrNames files)
      )}
      chmod -R u+w .
      mkdir "$out"
      {
        ${script}
      } 2>&1 | tee "$out/report.txt"
    '';

  programs = toString (map (program: "${program}/bin/*") (builtins.attrValues outputs.programs));

  everything = {
    "." = "${source}/.";
  };
  stackTests = {
    "pyproject.toml" = ../pyproject.toml;
    "tests/platform_client.py" = ../tests/platform_client.py;
    "tests/stack" = ../tests/stack;
  };

  # Tests of the real stack that are checks of their own, so that they run at one time with the rest.
  apart = builtins.mapAttrs (_: map (subject: "tests/stack/test_${subject}.py")) {
    example = [
      "dbt"
      "ingestion"
      "io"
      "notifications"
      "schedules"
      "training"
    ];
    security = [
      "artifacts"
      "closed"
      "security_browsers"
      "security_token"
    ];
  };
  onStack =
    name: arguments:
    inCheckout name ([ python.test ] ++ stack.services) stackTests ''
      python -m pytest ${toString arguments} --durations=10 -p no:cacheprovider
    '';

  # image-push, image-verify and image-merge, with a real registry.
  pushWith =
    name: registry:
    inCheckout name
      [
        python.test
        pkgs.skopeo
        registry
        outputs.programs.image-push
        outputs.programs.image-verify
        outputs.programs.image-merge
      ]
      {
        "pyproject.toml" = ../pyproject.toml;
        "nix/image" = ./image;
        "tests/platform_client.py" = ../tests/platform_client.py;
        "tests/small_layouts.py" = ../tests/small_layouts.py;
        "tests/image/test_push.py" = ../tests/image/test_push.py;
        "tests/image/test_attach.py" = ../tests/image/test_attach.py;
      }
      ''
        python -m pytest tests/image/test_push.py tests/image/test_attach.py -p no:cacheprovider
      '';

  # What runs while images are made.
  ran = [
    pkgs.python313
    pkgs.coreutils
    pkgs.bashInteractive
    python.user-code
    python.webserver
    python.mlflow-server
  ];

  # Images as files: no container runtime works in the build sandbox.
  checkImage =
    name: made:
    pkgs.runCommand "check-${name}" {
      nativeBuildInputs = [ pkgs.python313 ];
      budgets = builtins.toJSON made.budgets;
      passAsFile = [ "budgets" ];
    } ''python3.13 ${./image/check.py} ${made.image} "$budgetsPath" >"$out"'';
  # Some modules of ./image, which in the store are not side by side.
  imageModules =
    names:
    builtins.path {
      name = "modules";
      path = ./image;
      filter = path: _: builtins.elem (baseNameOf path) names;
    };

  # For which architecture each file of some images is. `built` is what ran when they were made.
  checkFiles =
    name: made: built:
    pkgs.runCommand "check-${name}"
      {
        nativeBuildInputs = [ pkgs.python313 ];
        PYTHONPATH = imageModules [ "check.py" ];
        exportReferencesGraph = builtins.concatLists (
          builtins.genList (index: [
            "built-${toString index}"
            (builtins.elemAt built index)
          ]) (builtins.length built)
        );
      }
      ''
        echo >built-nothing
        cat built-* >built
        python3.13 ${./image/check_files.py} ${made.image} ${made.architecture} ${made.sbom} built >"$out"
      '';

  # The lists of components: CycloneDX's own schema, and what the layers really hold.
  checkLists =
    name: made:
    pkgs.runCommand "check-${name}" {
      nativeBuildInputs = [ python.dev ];
      PYTHONPATH = imageModules [
        "check.py"
        "debian_records.py"
        "licenses.py"
      ];
    } ''
      python ${./image/check_sbom.py} ${made.sbom} ${made.image} ${./image/vex.openvex.json} >"$out"
    '';
in
{
  # Style, types, shell scripts and workflows. The linter of shell scripts is the newest, as a wheel, where
  # there is one; the outputs' own scripts are looked at by it too, since each set builds them with its own.
  lint = inCheckout "lint" [ python.dev pkgs.shellcheck ] everything ''
    ruff check
    ruff format --check
    mypy
    scripts=()
    shopt -s globstar dotglob
    for file in ** ${programs}; do
      if [ -f "$file" ] && read -r first <"$file" && [[ $first =~ ^#!.*sh || $file = *.sh ]]; then
        scripts+=("$file")
      fi
    done
    shellcheck --version
    printf '%s\n' "''${scripts[@]}"
    shellcheck "''${scripts[@]}"
    zizmor --offline .github
  '';

  # What needs no service.
  unit = inCheckout "unit" ([ python.test ] ++ stack.services) everything ''
    python -m pytest tests/unit -p no:cacheprovider
  '';

  # The real stack, started inside the build sandbox and driven through GraphQL.
  stack = onStack "stack" (
    [ "tests/stack" ] ++ map (file: "--ignore=${file}") (builtins.concatLists (builtins.attrValues apart))
  );

  # The same for the example's assets, jobs and sensors.
  example = onStack "example" apart.example;

  # The same for who may ask it for what.
  security = onStack "security" apart.security;

  # Every service killed at idle and in the middle of a run, and a small storm of runs and kills.
  faults =
    inCheckout "faults" ([ python.test ] ++ stack.services)
      (stackTests // { "tests/faults" = ../tests/faults; })
      ''
        python -m pytest tests/faults -p no:cacheprovider
      '';

  # Which certificates the commands use, by what the environment names.
  certificates = inCheckout "certificates" [ ] { } ''
    uses() {
      expected=$1
      shift
      found=$(env -u SSL_CERT_FILE -u NIX_SSL_CERT_FILE "$@" bash -euc ${
        lib.escapeShellArg ''
          ${stack.certificates}
          echo "$SSL_CERT_FILE $NIX_SSL_CERT_FILE"
        ''
      })
      echo "$*: $found"
      [ "$found" = "$expected $expected" ]
    }
    uses ${bundle}
    uses /mine SSL_CERT_FILE=/mine
    uses /nix-daemon NIX_SSL_CERT_FILE=/nix-daemon
    uses /mine SSL_CERT_FILE=/mine NIX_SSL_CERT_FILE=/nix-daemon
  '';

  # Every extension module of every wheel loads, as it was patched.
  libraries = inCheckout "libraries" [ pkgs.python313 ] { } ''
    python3.13 ${./python/load_libraries.py} ${toString python.everything}
  '';

  # What each role imports at its start has bytecode.
  bytecode = inCheckout "bytecode" [ ] { } ''
    ${python.user-code}/bin/python -P ${./python/check_bytecode.py} dagma.definitions dagster._cli
    ${python.webserver}/bin/python -P ${./python/check_bytecode.py} dagster_webserver.cli dagster._daemon.cli
    ${python.mlflow-server}/bin/python -P ${./python/check_bytecode.py} mlflow.server.fastapi_app
  '';

  # User code without the example: the kit is whole, and none of the example's packages is there.
  kit = inCheckout "kit" [ ] { } ''
    check() { "$1/bin/python" -P ${./python/check_kit.py} ${toString python.ofExample}; }
    check ${python.user-code-without-example}
    if check ${python.user-code}; then exit 1; fi
  '';

  # Every output of both package sets evaluates, for every system.
  evaluation = import ./evaluation.nix { inherit pkgs source; };

  # What a user can build, is built.
  outputs = pkgs.runCommand "check-outputs" { } ''
    printf '%s\n' ${toString (builtins.attrValues (outputs.packages // outputs.programs))} >"$out"
  '';
}
// lib.optionalAttrs (pkgs.python313 ? twin) (
  import ./twins.nix {
    inherit
      pkgs
      python
      stack
      inCheckout
      everything
      stackTests
      pushWith
      checkImage
      ;
  }
)
// lib.optionalAttrs (images != null) {
  push = pushWith "push" pkgs.distribution;

  image = checkImage "image" images;
  image-without-example = checkImage "image-without-example" withoutExample;
  image-files = checkFiles "image-files" images [ ];

  # Built twice, with the same digests.
  image-rebuilt = images.rebuilt;

  image-sbom = checkLists "image-sbom" images;
}
# All that is checked of images for another architecture, without running one of its programs.
// builtins.listToAttrs (
  map (
    name:
    let
      made = foreignImages.${name};
    in
    {
      name = "${name}-files";
      value = pkgs.runCommand "check-${name}" { } ''
        cat ${checkImage "${name}-layout" made} ${checkLists "${name}-sbom" made} \
          ${checkFiles "${name}-files" made ran} ${made.rebuilt} >"$out"
      '';
    }
  ) (builtins.attrNames foreignImages)
)
