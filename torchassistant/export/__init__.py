"""From a session to files that need no session: ONNX, ``.pt2``, safetensors."""

from torchassistant.export.export_run import DTYPES, export_session
from torchassistant.export.exported import FILES, Exported

__all__ = ["DTYPES", "FILES", "Exported", "export_session"]
