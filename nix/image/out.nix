# The programs that bring images elsewhere: into podman or docker, to a registry, together with those
# of another architecture. What they do: ./load.py, ./push.py, ./merge.py.
{
  # A package set with the names of ../contract.nix.
  pkgs,
  # Shell commands that set SSL_CERT_FILE, of ../stack.nix.
  certificates,
  # The layout that is meant when no other is named, and what is known of it.
  image,
  sbom,
  # ../python of the same set: what signs.
  python,
}:
let
  signing = builtins.concatStringsSep ":" (
    map (name: "${python.wheels.${name}}/lib/python3.13/site-packages") (python.closure [ "signing" ])
  );
  ours = "--layout ${image} --sbom ${sbom}";
  modules = builtins.path {
    name = "modules";
    path = ./.;
    filter = path: _: builtins.match ".*\\.py" path != null;
  };
  # podman and docker are the machine's own: they have a storage or a daemon there.
  program =
    name: tools: text:
    pkgs.writeShellApplication {
      inherit name;
      runtimeInputs = [ pkgs.python313 ] ++ tools;
      inherit text;
      meta.mainProgram = name;
    };
  ofRegistry =
    name:
    program "image-${name}" [ pkgs.skopeo ] ''
      ${certificates}
      unset PYTHONHOME PYTHONSAFEPATH
      export PYTHONPATH=${signing}
      exec python3.13 -B ${modules}/${name}.py ${ours} "$@"
    '';
in
{
  image-load = program "image-load" [ ] ''
    exec python3.13 -EB ${modules}/load.py --layout ${image} "$@"
  '';
  image-push = ofRegistry "push";
  image-verify = ofRegistry "verify";
  image-merge = program "image-merge" [ ] ''
    exec python3.13 -EB ${modules}/merge.py "$@"
  '';
}
