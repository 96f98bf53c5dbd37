"""Fused forms of the operators and the convolution, each checked against the plain one."""
