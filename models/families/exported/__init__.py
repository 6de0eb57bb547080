"""ONNX, TorchScript, torch.export and OpenVINO files."""
