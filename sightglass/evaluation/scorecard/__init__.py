"""Compare models on labelled pictures: which one can be shipped."""
