# The names that this project uses of a package set, what each is for and what is relied on. Both sets
# provide them: nixpkgs (what it has, and where that was read: ./nixpkgs.nix) and ./registry.
let
  # Per name, what a set is asked for beside the name itself, see `lacking`:
  #   attributes   what is used of it by name
  #   mainProgram  what `bin/` holds, where packages have it under different names
  #   atLeast      the oldest version that works
  names = {
    bashInteractive = {
      use = "the shell of services, scripts, images and `nix develop`";
      mainProgram = "bash";
    };
    cacert.use = "certificates where the machine has none, and in images";
    coreutils.use = "programs of scripts, and in images";
    distribution = {
      use = "a registry, for the test of `image-push`";
      mainProgram = "registry";
      atLeast = "2.8";
    };
    fetchPypi.use = "a wheel by its name and sha256";
    fetchurl.use = "the default corpus of the example";
    lib = {
      use = "the functions in registry/lib.nix";
      attributes = builtins.attrNames (import ./registry/lib.nix);
    };
    mkShellNoCC.use = "the development environment";
    postgresql_17 = {
      use = "the database";
      atLeast = "17";
    };
    process-compose = {
      use = "the supervisor";
      mainProgram = "process-compose";
      atLeast = "1.87";
    };
    python313 = {
      use = "the interpreter";
      atLeast = "3.13";
    };
    runCommand.use = "every build step";
    shellcheck = {
      use = "the check of shell scripts";
      mainProgram = "shellcheck";
    };
    skopeo = {
      use = "`image-push`";
      mainProgram = "skopeo";
    };
    stdenv = {
      use = "the platform, the loader and libraries that wheels expect, and the C library's locale";
      attributes = [
        "cc"
        "hostPlatform"
      ];
    };
    tini = {
      use = "process 1 of the images";
      mainProgram = "tini";
    };
    tzdata.use = "time zones";
    writeShellApplication.use = "the commands";
    zlib.use = "a library that wheels expect";
    # Absent from nixpkgs, whose set of another system needs no building here.
    assembledFor = {
      use = "what images for other systems are made of, by this one's programs";
      optional = true;
    };
    # Absent from the registry set: no package registry has Qdrant's server, nor its dashboard.
    qdrant = {
      use = "the vector database's server";
      optional = true;
    };
    qdrant-web-ui = {
      use = "the files of its dashboard; `index.html` is at the top of the output";
      optional = true;
    };
  };

  all = builtins.attrNames names;
  required = builtins.filter (name: !(names.${name}.optional or false)) all;

  # What keeps a name of a set from being used; null when nothing does.
  mistake =
    set: name:
    let
      asked = names.${name};
      # A name that nixpkgs took away is there and throws.
      package = builtins.tryEval (builtins.seq set.${name} set.${name});
      has = package.value;
      version = has.version or null;
      program = has.meta.mainProgram or asked.mainProgram;
      without = builtins.filter (attribute: !(has ? ${attribute})) (asked.attributes or [ ]);
    in
    if !(set ? ${name}) then
      if asked.optional or false then null else "has no ${name}"
    else if !package.success then
      "has taken ${name} away"
    else if
      asked ? atLeast && version != null && builtins.compareVersions version asked.atLeast < 0
    then
      "has ${name} ${version}, and ${asked.atLeast} is the oldest that works"
    else if asked ? mainProgram && program != asked.mainProgram then
      "has ${name} with the program ${program} instead of ${asked.mainProgram}"
    else if without != [ ] then
      "has ${name} without ${toString without}"
    else
      null;
in
rec {
  inherit names required;

  # A sentence for each name that a set does not provide as this project needs it.
  lacking = set: builtins.filter (sentence: sentence != null) (map (mistake set) all);

  # Fails with sentences of `lacking`.
  refuse =
    sentences:
    throw "the package set ${builtins.concatStringsSep ", and " sentences} (nix/contract.nix)";

  # The part of a set that is used. A name that the set does not provide is an error only when it is
  # used, and one that is not listed above cannot be used at all.
  select =
    set:
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value =
          let
            sentence = mistake set name;
          in
          if sentence == null then set.${name} else refuse [ sentence ];
      }) (builtins.filter (name: set ? ${name} || builtins.elem name required) all)
    );
}
