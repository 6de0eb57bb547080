"""Ultralytics YOLO, YOLOE, YOLO-World and RT-DETR."""
