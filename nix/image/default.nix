# The images: one OCI layout for all roles, from the store paths that the stack runs from.
{
  # A package set with the names of ../contract.nix: what is in the images.
  pkgs,
  # The set of the machine that builds: what runs meanwhile.
  build ? pkgs,
  # ../python of the same two.
  python,
  # What the user-code image has of the example: the corpus `recipes` (../recipes.nix) and the `dbtManifest`
  # (../dbt.nix). Null: nothing, neither its packages nor its code.
  example,
  # The commit that the images are made from, and its time in seconds since 1970. The index names them,
  # the images do not: one whose content stays keeps its digest.
  revision,
  created,
  # The name that the layout has among the outputs of the machine that builds.
  name ? "image",
  # The roles that are made, of all.
  choose ? (roles: roles),
}:
let
  inherit (pkgs) lib;
  inherit (builtins) toJSON;

  roles = choose (import ./roles.nix { inherit pkgs build python example; });
  roleNames = builtins.attrNames roles;

  inherit
    (import ./layers.nix {
      inherit
        pkgs
        build
        python
        example
        roles
        ;
    })
    graphs
    otherwise
    bottom
    debian
    nixpkgs
    corpus
    application
    layersOf
    referenced
    ;

  # What layout.py imports; in the store the two are not side by side.
  modules = builtins.path {
    name = "modules";
    path = ./.;
    filter = path: _: baseNameOf path == "layer.py";
  };

  # As OCI names it.
  architecture =
    {
      x86_64-linux = "amd64";
      aarch64-linux = "arm64";
    }
    .${pkgs.stdenv.hostPlatform.system};
  labels = {
    "org.opencontainers.image.version" = python.project.version;
    "org.opencontainers.image.licenses" = python.project.license;
  }
  # Where the project is published, once pyproject.toml says so.
  // lib.optionalAttrs (python.project ? urls.Source) {
    "org.opencontainers.image.source" = python.project.urls.Source;
  }
  // lib.optionalAttrs (python.project ? urls.Homepage) {
    "org.opencontainers.image.url" = python.project.urls.Homepage;
  };

  specification = {
    inherit labels;
    commit = {
      inherit revision created;
    };
    inherit architecture;
    roles = builtins.mapAttrs (role: image: {
      layers = layersOf role;
      inherit (image) title description config;
    }) roles;
  };

  makeLayoutOf =
    specification:
    build.runCommand name {
      nativeBuildInputs = [ build.python313 ];
      PYTHONPATH = modules;
      exportReferencesGraph = builtins.concatLists (
        map (role: graphs "closure-${role}" (referenced role)) roleNames
      );
      specification = toJSON specification;
      passAsFile = [ "specification" ];
    };
  makeLayout = makeLayoutOf specification;
  writeLayout = ''python3.13 -X utf8 ${./layout.py} "$out" "$specificationPath"'';
  image = makeLayout writeLayout;

  # What another commit makes of the same content.
  ofAnotherCommit = makeLayoutOf (
    specification
    // {
      commit = {
        revision = "another";
        created = 2;
      };
    }
  ) writeLayout;

  # What sbom.py imports, likewise.
  sbomModules = builtins.path {
    name = "sbom-modules";
    path = ./.;
    filter = path: _: builtins.elem (baseNameOf path) [
      "bundled.py"
      "debian_records.py"
      "licenses.py"
      "provenance.py"
    ];
  };

  sbom =
    build.runCommand "${name}-sbom"
      {
        specification = toJSON {
          inherit bottom;
          inherit (python) project;
          layout = image;
          lock = ../python/lock.json;
          system = pkgs.stdenv.hostPlatform.system;
          inherit (debian) prefixes records;
          packages = nixpkgs;
          build = {
            inherit revision;
            source = python.project.urls.Source or null;
            attribute = "packages.${build.stdenv.hostPlatform.system}.${name}";
            command = "./nixw build .#${name}";
            set = if debian.records == null then "nixpkgs" else "registry";
            locks = builtins.mapAttrs (_: builtins.hashFile "sha256") {
              "flake.lock" = ../../flake.lock;
              "nix/python/lock.json" = ../python/lock.json;
              "nix/registry/lock.json" = ../registry/lock.json;
            };
          };
          roles = builtins.mapAttrs (role: image: {
            inherit (image) groups;
            layers = layersOf role;
            application = if role == "user-code" then application else [ ];
            data = lib.optional (role == "user-code" && example != null) {
              inherit (example.recipes)
                file
                version
                sha256
                license
                ;
              source = "pkg:github/gnome/recipes";
              layer = corpus;
            };
            wheels = builtins.listToAttrs (
              map (name: {
                inherit name;
                value = python.wheels.${name};
              }) image.wheels
            );
          }) roles;
        };
        passAsFile = [ "specification" ];
        PYTHONPATH = sbomModules;
      }
      ''
        ${python.native.environment "sbom" [ "sbom" ]}/bin/python ${./sbom.py} "$out" "$specificationPath"
      '';

  everyLayer = lib.unique (builtins.concatLists (map layersOf roleNames));
in
{
  # role -> the compressed bytes it may have at most, and why.
  budgets = builtins.mapAttrs (_: role: role.budget) roles;

  # The layout, and a list of components for each image.
  inherit image sbom architecture;

  # Every layer and the layout made twice, the second time under other conditions, and compared.
  # The index names the manifests by their digest, they the rest. Another commit changes no digest.
  rebuilt =
    build.runCommand "image-rebuilt"
      {
        nativeBuildInputs = [
          build.coreutils
          build.python313
        ];
        inherit image ofAnotherCommit;
        first = map (layer: "${layer}/layer.json") everyLayer ++ [ "${image}/index.json" ];
        second =
          map (layer: layer.again) everyLayer
          ++ [ "${makeLayout "${otherwise}\n${writeLayout}"}/index.json" ];
      }
      ''
        set -- $second
        for file in $first; do
          if [ "$(cat "$file")" != "$(cat "$1")" ]; then
            echo "image: made again, $file is another:" >&2
            cat "$1" >&2
            exit 1
          fi
          shift
        done
        digests() {
          python3.13 -c 'import json, sys; print(*[entry["digest"] for entry in json.load(sys.stdin)["manifests"]])' <"$1/index.json"
        }
        if [ "$(cat "$image/index.json")" = "$(cat "$ofAnotherCommit/index.json")" ]; then
          echo "image: the index does not name the commit" >&2
          exit 1
        fi
        if [ "$(digests "$image")" != "$(digests "$ofAnotherCommit")" ]; then
          echo "image: another commit with the same content gives other digests" >&2
          exit 1
        fi
        echo "made twice and the same: ${toString (builtins.length everyLayer)} layers and the layout" >"$out"
      '';
}
