"""The page Trust: four tests of one map."""
