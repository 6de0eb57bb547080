"""Measure memory over hours, under one budget and on small machines."""
