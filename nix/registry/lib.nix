# The functions of nixpkgs' lib that this project uses, with their names and meaning there.
{
  makeBinPath = packages: builtins.concatStringsSep ":" (map (package: "${package}/bin") packages);
  escapeShellArg = text: "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] (toString text)}'";
  optional = condition: value: if condition then [ value ] else [ ];
  optionalAttrs = condition: attributes: if condition then attributes else { };
  unique = builtins.foldl' (known: item: if builtins.elem item known then known else known ++ [ item ]) [ ];
}
