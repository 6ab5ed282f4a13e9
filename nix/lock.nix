# `nix run .#lock [-- --upgrade [NAME ...]]`: renews both locks of the checkout it is run in, and prints
# what moved; then evaluates every output with the pinned nixpkgs, where that is in reach.
{
  pkgs,
  # ./python of the same set.
  python,
}:
pkgs.writeShellApplication {
  name = "lock";
  runtimeInputs = [
    python.dev
    pkgs.coreutils
  ];
  text = ''
    if ! [ -e nix/python/lock.json ]; then
      echo "lock: run it in a checkout of dagma" >&2
      exit 1
    fi
    python nix/python/lock_wheels.py . "$@"
    python nix/registry/lock_debian.py . "$@"
    python nix/lock_nixpkgs.py .
  '';
  meta.mainProgram = "lock";
}
