"""Show results that several pages share: panels, charts, boxes, comparisons."""
