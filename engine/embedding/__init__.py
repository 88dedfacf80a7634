"""Models that turn prepared crops into vectors.

OpenVINO tells its makers of each import, under an id that it keeps in the user's home, unless the
package that does so is missing: then it has a stub for it (docs/privacy.md).
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
