"""An environment for another machine's Python, linked by this one's (nix/python/environment.py)."""

import os
import subprocess
import sys
from pathlib import Path

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"


def test_an_environment_is_of_the_python_that_pythonhome_names(checkout, tmp_path):
    # As of another architecture: the modules in Python are read, the extension modules cannot be.
    other = tmp_path / "other"
    (other / f"lib/{VERSION}").mkdir(parents=True)
    for entry in (Path(sys.base_prefix) / f"lib/{VERSION}").iterdir():
        if entry.name != "lib-dynload":
            (other / f"lib/{VERSION}" / entry.name).symlink_to(entry)
    wheel = tmp_path / "wheel"
    (wheel / "bin").mkdir(parents=True)
    (wheel / "bin/tool").write_text("#!@python@\n")
    out = tmp_path / "out"
    subprocess.run(
        [f"{sys.base_prefix}/bin/{VERSION}", checkout / "nix/python/environment.py", out, wheel],
        env={**os.environ, "PYTHONHOME": str(other)},
        check=True,
    )
    assert f"home = {other}/bin\n" in (out / "pyvenv.cfg").read_text()
    assert (out / "bin/python").readlink() == other / f"bin/{VERSION}"
    assert (out / "bin/tool").read_text() == f"#!{out}/bin/python\n"
