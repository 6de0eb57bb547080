"""ONNX, TorchScript and OpenVINO files."""
