"""Our own C, one file a kernel: its port, the numpy that says what it means, and the binding."""
