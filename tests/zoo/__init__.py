"""Compare small models of other libraries with plain autograd."""
