# The functions of nixpkgs' lib that this project uses, with their names and meaning there.
rec {
  makeBinPath = packages: builtins.concatStringsSep ":" (map (package: "${package}/bin") packages);
  escapeShellArg = text: "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] (toString text)}'";
  genAttrs =
    names: value:
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = value name;
      }) names
    );
  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: values: if condition then values else [ ];
  optionalString = condition: text: if condition then text else "";
  unique = builtins.foldl' (known: item: if builtins.elem item known then known else known ++ [ item ]) [ ];
}
