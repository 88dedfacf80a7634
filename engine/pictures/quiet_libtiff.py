"""libtiff, which Pillow brings, kept from telling stderr of every row that it cannot read.

A TIFF of 3 kB that claims 200,000 rows wrote 12 MB there, at each decoding of it: whoever may ask
by a picture could fill the disk that the log lies on. Pillow tells of a failure without it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes.util import find_library
from pathlib import Path

from PIL import Image  # loads the very library, which is found again here

_OF_ERRORS, _OF_WARNINGS = "TIFFSetErrorHandler", "TIFFSetWarningHandler"


def quiet_libtiff() -> bool:
    """Take away what tells of errors and warnings, in the whole process; whether libtiff was found.

    A repeat changes nothing.
    """
    for library in _libraries():
        try:
            libtiff = ctypes.CDLL(library)
            for name in (_OF_ERRORS, _OF_WARNINGS):
                set_handler = getattr(libtiff, name)
                set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
                set_handler(None)
        except (OSError, AttributeError):
            continue
        return True
    return False


def _libraries() -> Iterator[str]:
    """Where it may lie: beside Pillow in its wheels for Linux and macOS, else as the system's."""
    package = Path(Image.__file__).parent
    for folder in (package.parent / "pillow.libs", package / ".dylibs"):
        yield from map(str, sorted(folder.glob("libtiff*")))
    found = find_library("tiff")
    if found is not None:
        yield found
