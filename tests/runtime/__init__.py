"""What code in cells asks of its host: the module in the kernel, its carriers, and the families of calls."""
