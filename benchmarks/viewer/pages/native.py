"""Baseline page: a slider and a picture of Streamlit's own parts.

Every step is a run, a blend, an encoding and a download.
"""

import sys

import streamlit as st

from sightglass.components.session import page
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering.render import overlay

assert page  # it sets the threads that the dashboard uses


@st.cache_resource
def explained(path):
    from sightglass.explain import Explainer

    image = Image.open(path)
    return image.pixels, Explainer()(image).heatmaps[0].values


st.set_page_config(layout="wide")
pixels, values = explained(sys.argv[1])
alpha = st.slider("Opacity", 0.0, 1.0, 0.9, 0.01)
st.image(overlay(pixels, values, alpha=alpha), output_format="JPEG")
