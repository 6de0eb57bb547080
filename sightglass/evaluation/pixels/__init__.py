"""Segmentations held against true masks: reading masks, IoU."""
