"""PromptSG, a person re-identification network."""
