"""From a session to files that need no session: ONNX, ``.pt2``, safetensors."""

from torchassistant.export.export_run import DTYPES, FILES, Exported, export_session

__all__ = ["DTYPES", "FILES", "Exported", "export_session"]
