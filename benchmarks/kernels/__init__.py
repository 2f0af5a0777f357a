"""How fast the pixel kernels run beside the machine's memory and beside their peers."""
