# The manifest of the example's dbt project, made here so that no start has to: `dbt parse` takes
# seconds. What Dagster does not read is left out: macros, and times and ids of this build.
{
  pkgs,
  # ./python of the same set.
  python,
}:
pkgs.runCommand "dbt-manifest.json"
  {
    nativeBuildInputs = [ (python.environment "dbt" [ "example" ]) ];
    project = ../src/dagma/defs/dbt/project;
    DBT_SEND_ANONYMOUS_USAGE_STATS = "false";
    # nixpkgs' builders point both at a file that does not exist.
    SSL_CERT_FILE = "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt";
    NIX_SSL_CERT_FILE = "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt";
  }
  ''
    export HOME=$TMPDIR
    dbt parse --quiet --no-partial-parse --project-dir "$project" \
      --profiles-dir "$project" --target-path "$TMPDIR/target" --log-path "$TMPDIR/log"
    python ${./dbt_manifest.py} "$TMPDIR/target/manifest.json" >"$out"
  ''
