# The check `evaluation`: every output of both package sets evaluates, for every system, and what a set
# lacks is told by name.
{
  pkgs,
  # The flake's own source.
  source,
}:
let
  inherit (pkgs) lib;
  contract = import ./contract.nix;
  facts = import ./nixpkgs.nix;
  nixpkgs = system: import ./stand-in.nix { inherit system; };
  hybrid =
    system:
    (import ./hybrid.nix {
      inherit system;
      tree = import ./stand-in-tree.nix;
    }).set;

  # A headline, then what every output evaluates to with a package set.
  evaluated =
    title: set:
    [ title ]
    ++ builtins.concatMap builtins.attrValues (
      builtins.attrValues (import ./evaluate.nix { inherit set others source; }).paths
    );

  # A test of this check: with that set, the sentences are those.
  tells =
    what: set: sentences:
    let
      told = contract.lacking set;
    in
    if told == sentences then
      "told: ${what}"
    else
      throw "evaluation: ${what}: told '${toString told}' instead of '${toString sentences}'";

  # nixpkgs' sets of all systems, as ../flake.nix hands them on, without what would run on those.
  others = builtins.listToAttrs (
    map (system: {
      name = system;
      value = removeAttrs (nixpkgs system) [
        "fetchPypi"
        "fetchurl"
        "runCommand"
        "writeShellApplication"
      ];
    }) systems
  );
  systems = [
    "x86_64-linux"
    "aarch64-linux"
    "aarch64-darwin"
  ];

  complete = nixpkgs "x86_64-linux";
  tests = [
    (tells "nothing, of a whole set" complete [ ])
    (tells "nothing, of a set without what is optional" (removeAttrs complete [
      "qdrant"
      "qdrant-web-ui"
    ]) [ ])
    (tells "names that are not there"
      (import ./stand-in.nix {
        system = "x86_64-linux";
        facts = removeAttrs facts [
          "fetchurl"
          "skopeo"
          "tzdata"
          "zlib"
        ];
      })
      [
        "has no fetchurl"
        "has no skopeo"
        "has no tzdata"
        "has no zlib"
      ]
    )
    (tells "an alias that throws" (complete // { skopeo = throw "'skopeo' has been removed"; }) [
      "has taken skopeo away"
    ])
    (tells "a program of another name"
      (complete // { distribution = complete.distribution // { meta.mainProgram = "other"; }; })
      [ "has distribution with the program other instead of registry" ]
    )
    (tells "a version that is too old"
      (complete // { process-compose = complete.process-compose // { version = "1.9.0"; }; })
      [ "has process-compose 1.9.0, and ${contract.names.process-compose.atLeast} is the oldest that works" ]
    )
    (tells "a function that is gone" (complete // { lib = removeAttrs complete.lib [ "unique" ]; }) [
      "has lib without unique"
    ])
    (makes "x86_64-linux" [ "image-aarch64" ])
    (makes "aarch64-linux" [ "image-x86_64" ])
    (makes "aarch64-darwin" [ ])
    (hands complete true)
    (hands (removeAttrs complete [ "qdrant-web-ui" ]) false)
    listed
  ];

  # A test of ./stack.nix: whether the command of a set hands the dashboard's files to Qdrant's server.
  hands =
    set: expected:
    let
      inherit ((import ./. { inherit set source; }).programs.stack) text;
      variable = "export QDRANT__SERVICE__STATIC_CONTENT_DIR=";
      found = builtins.replaceStrings [ variable ] [ "" ] text != text;
    in
    if found == expected then
      "handed: the dashboard's files, where a set has them"
    else
      throw "evaluation: whether ${variable} is in the command `stack` is wrong";

  # A test of ./image/nixpkgs.nix: the lists of components get what nixpkgs says of its packages in the
  # images, as far as its facts go.
  listed =
    let
      outputs = import ./. {
        set = complete;
        inherit source;
      };
      specification = builtins.unsafeDiscardStringContext outputs.packages.image-sbom.specification;
      inherit (builtins.fromJSON specification) packages;
      given = builtins.listToAttrs (
        map (package: {
          inherit (package) name;
          value = map (licence: licence.spdxId or licence.shortName) package.license ++ [ package.cpe ];
        }) packages
      );
      others = builtins.filter (name: !(facts.${name} ? licenses)) (builtins.attrNames facts);
      known = builtins.mapAttrs (_: fact: fact.licenses ++ [ (fact.cpe or null) ]) (
        removeAttrs facts others
      );
    in
    if given == known then
      "listed: licences and CPE of ${toString (builtins.attrNames given)}"
    else
      throw "evaluation: of nixpkgs' packages the lists of components get ${builtins.toJSON given}";

  # A test of ./default.nix: which images for other architectures there are with nixpkgs. That they are
  # built by this system's programs follows from `others`.
  makes =
    system: expected:
    let
      made = (import ./. {
        set = nixpkgs system;
        inherit others source;
      }).foreignPackages;
      images = removeAttrs made (map (name: "${name}-sbom") (builtins.attrNames made));
    in
    if builtins.attrNames images == expected then
      "made on ${system}: ${toString expected}"
    else
      throw "evaluation: on ${system} are made ${toString (builtins.attrNames images)}";

  evaluations =
    builtins.concatMap (system: evaluated "registry, ${system}" (import ./registry { inherit system; }))
      [
        "x86_64-linux"
        "aarch64-linux"
      ]
    ++ builtins.concatMap (system: evaluated "nixpkgs' facts, ${system}" (nixpkgs system)) systems
    ++ builtins.concatMap (system: evaluated "hybrid of the two, ${system}" (hybrid system)) [
      "x86_64-linux"
      "aarch64-linux"
    ];
in
pkgs.runCommand "check-evaluation" { } ''
  printf '%s\n' ${lib.escapeShellArg (builtins.concatStringsSep "\n" (tests ++ evaluations))} >"$out"
''
