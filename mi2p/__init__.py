"""MI2P (CVPR 2022): ablation and comparison sweeps on whatever GPUs there are.

The plan of the code: `spec` says what a trial is, `data` and `models` build it, `train.fit` runs
it, `trainable` and `sweep` place many of them with Ray Tune, `store` keeps what came out, and the
`analysis` package turns stored rows into the paper's tables.
"""

__version__ = "0.1.0"
