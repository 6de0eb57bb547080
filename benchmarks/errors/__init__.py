"""How often the analyses of labelled pictures find known causes."""
