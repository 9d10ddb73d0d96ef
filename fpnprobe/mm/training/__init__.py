"""Training a cell of a study through mmengine's Runner, resumable to the last bit."""
