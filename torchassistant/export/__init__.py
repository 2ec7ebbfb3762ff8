"""From a session to files that need no session: ONNX, ``.pt2``, safetensors."""

from torchassistant.export.export_run import DTYPES, export_session
from torchassistant.export.exported import FILES, Exported
from torchassistant.export.packages import ONNX, expect_packages

__all__ = ["DTYPES", "FILES", "ONNX", "Exported", "expect_packages", "export_session"]
