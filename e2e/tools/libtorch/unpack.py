#!/usr/bin/env python3
"""Unpack from the wheels in WHEELS what a C++ program needs of libtorch into DEST: headers and five libraries.

Usage: unpack.py WHEELS DEST VERSION. Called by `cargo xtask setup`; needs nothing but Python itself.
"""

import pathlib
import shutil
import sys
import zipfile

# Library files wanted, by their path inside the wheels. libtorch_cpu links against all the others.
LIBRARIES = [
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
]
HEADERS = "torch/include/"


def target(name, dest):
    """Where the wheel member `name` goes below `dest`, or None if it is not wanted."""
    if name in LIBRARIES:
        return dest / "lib" / pathlib.PurePosixPath(name).name
    if name.startswith(HEADERS) and not name.endswith("/"):
        relative = pathlib.PurePosixPath(name).relative_to("torch")
        if ".." in relative.parts:
            sys.exit(f"a wheel holds a path that leaves its folder: {name}")
        return dest / relative
    return None


def main():
    wheels, dest, version = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    found = set()
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                place = target(member.filename, dest)
                if place is None:
                    continue
                found.add(member.filename)
                place.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(place, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    missing = [name for name in LIBRARIES if name not in found]
    if missing:
        sys.exit(f"not in the wheels: {', '.join(missing)}")
    # torch-sys always links -ltorch. The wheel's own libtorch.so asks for libtorch_cuda, so a linker script takes its
    # place that names the library holding the CPU side.
    (dest / "lib" / "libtorch.so").write_text("INPUT(libtorch_cpu.so)\n")
    (dest / "build-version").write_text(version + "\n")


main()
