"""Find the methods, of several libraries, whose maps show a cause that is known."""
