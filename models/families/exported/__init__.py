"""ONNX and TorchScript files."""
