"""Explain pictures as they come from a camera: the engine without what a picture that never comes again does not need.

No transport: `choice` is what a viewer looks with, `look` makes a frame's answer, `loop` takes frames of several
viewers in turn, `message` packs what goes over a socket, `follow` keeps a box from frame to frame.
"""
