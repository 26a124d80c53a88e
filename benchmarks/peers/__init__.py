"""Our training step beside those of PyTorch libraries; `../peers.py` runs it."""
