"""What every room uses: errors, settings, files written whole, suggestions for names that were mistyped."""
