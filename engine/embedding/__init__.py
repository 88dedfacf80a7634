"""Models that turn prepared crops into vectors.

OpenVINO tells its makers of each import, under an id that it keeps in the user's home, unless the
package that does so is missing: then it has a stub for it (docs/privacy.md). It also does without
its converters, 7 MB of a node that `conversion.py` alone needs.
"""

import sys

CONVERTERS = ("openvino.frontend.tensorflow", "openvino.tools.ovc")

for _name in ("openvino_telemetry", *CONVERTERS):
    sys.modules.setdefault(_name, None)  # type: ignore[arg-type]
