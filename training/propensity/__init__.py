"""How position biases clicks: the fit, its data and its picture."""
