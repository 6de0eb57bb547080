"""The dashboard's pages, one file or folder each."""
