# What programs expect outside the store; entries as in `Extra` of layer.py.
{ pkgs }:
let
  link = path: target: { inherit path target; };
  file = name: text: {
    path = "/etc/${name}";
    source = "${builtins.toFile name text}";
  };
in
[
  # The user of all images, whom no other system has; Python and libpq ask for the name and home.
  (file "passwd" ''
    root:x:0:0:root:/root:/bin/sh
    dagma:x:65532:65532:dagma:/tmp:/bin/sh
  '')
  (file "group" ''
    root:x:0:
    dagma:x:65532:
  '')
  # Names in /etc/hosts go before those of DNS.
  (file "nsswitch.conf" ''
    hosts: files dns
  '')
  {
    path = "/tmp";
    mode = "1777";
  }
  # Where deploy/compose.yaml mounts the volume of passwords; a new volume takes over the owner.
  {
    path = "/run/dagma";
    owner = 65532;
    mode = "0700";
  }
  # The names that programs and users look for; a company's certificates are mounted over the first.
  (link "/etc/ssl/certs/ca-certificates.crt" "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt")
  # Where Debian's C library looks for LANG's C.UTF-8; nixpkgs' has it in itself.
  (link "/usr/lib/locale" "${pkgs.stdenv.cc.libc}/lib/locale")
  (link "/usr/share/zoneinfo" "${pkgs.tzdata}/share/zoneinfo")
  (link "/etc/localtime" "${pkgs.tzdata}/share/zoneinfo/UTC")
  # What wheels expect of a system beside the C library, for those that a Dockerfile adds: ours know where
  # theirs are.
  (link "/usr/lib/libgcc_s.so.1" "${pkgs.stdenv.cc.cc.lib}/lib/libgcc_s.so.1")
  (link "/usr/lib/libstdc++.so.6" "${pkgs.stdenv.cc.cc.lib}/lib/libstdc++.so.6")
  (link "/usr/lib/libz.so.1" "${pkgs.zlib}/lib/libz.so.1")
  (link "/bin/sh" "${pkgs.bashInteractive}/bin/bash")
  (link "/bin/bash" "${pkgs.bashInteractive}/bin/bash")
  (link "/bin/tini" "${pkgs.tini}/bin/tini")
]
