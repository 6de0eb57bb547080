"""The layout of slides, which the stage and every file share."""
