"""Models that turn prepared crops into vectors.

OpenVINO tells its makers of each import, under an id that it keeps in the user's home, unless the
package that does so is missing: then it has a stub for it (docs/privacy.md). Its converter counts
as missing, too, until `conversion.py` converts: it takes 7 MB of a node.
"""

import sys

CONVERTER = "openvino.tools.ovc"

for _name in ("openvino_telemetry", CONVERTER):
    sys.modules.setdefault(_name, None)  # type: ignore[arg-type]
