"""What the analyses of labelled pictures find where the cause is known, and how fast."""
