"""DETR's family: RF-DETR, D-FINE, DEIM, RT-DETR of libreyolo, and detectors of Transformers."""
