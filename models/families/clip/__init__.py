"""CLIP, SigLIP and OpenCLIP: pictures and words in one space."""
