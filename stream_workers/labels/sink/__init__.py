"""Labelled triples to Parquet in the object store, and what is taken back again.

`LabelSink` writes (exactly once: the manifest is the commit), `Retraction` rewrites, `erase_user`
starts an erasure. The rules: `docs/labels.md`, 16 and 17; the files: `docs/labels-data.md`.
"""
