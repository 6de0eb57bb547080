"""CLIP and SigLIP: pictures and words in one space."""
