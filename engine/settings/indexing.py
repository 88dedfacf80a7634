"""Settings of what happens to pictures: decoding, embedding, the index worker, the bridge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sightline.engine.settings.section import PositiveInt, Seconds, Section
from sightline.schemas.fields import Visibility


class EmbedderSettings(Section):
    """The model that turns pictures into vectors, and what runs it."""

    model: str = "efficientnet_lite0"
    """The default model, any torchvision classification network by name, an encoder as a file with
    its card beside it, `onnx:PATH`, or a released model: `registry:NAME@DIGEST`, `registry:NAME`
    for its newest release."""
    weights: Path | None = None
    """A local safetensors file; none: the package's or torchvision's own weights."""
    projection: Path | None = None
    """A local safetensors file with `mean` and `matrix`, or that of a release; none: the model's
    own, if it has one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Belongs to the model digest: another precision is another vector space. `auto`: bf16 where
    the machine computes in it, else fp32; a fleet of unlike machines should name one."""
    runtime: Literal["auto", "torch-eager", "torch-compiled", "openvino", "cuda"] = "auto"
    """`auto`: the fastest that this machine can run; named in `/readyz`."""
    threads: PositiveInt | None = None
    """Embedding threads; none: one per core."""


class DecodeSettings(Section):
    """The bounds of what is decoded; what passes them is rejected with a reason."""

    max_bytes: PositiveInt = 32 * 1024 * 1024
    """Most bytes of an encoded file."""
    max_pixels: PositiveInt = 100_000_000
    """Width times height, read from the header before anything is decoded."""
    max_frames: PositiveInt = 1_000
    """Most frames of an animation, of which only the first is embedded."""


class WorkerSettings(Section):
    """The index worker, which applies image events to the vector index."""

    group: str = "sightline-index"
    """Consumer group; the lane's name is appended."""
    max_batch: PositiveInt = 8
    """Most images in one forward pass; waiting to fill it is never worth it below 70 % load."""
    live_in_flight: PositiveInt = 64
    """Live events being worked on, from poll to index; at the bound, partitions pause."""
    backfill_in_flight: PositiveInt = 64
    """The same for the backfill lane."""
    waiting_for_bytes: PositiveInt = 10_000
    """Events per lane that wait, without their bytes, for an object or the store to come back;
    apart from those worked on, so that what hides an image is applied meanwhile."""
    fetched_bytes: PositiveInt = 256 * 1024 * 1024
    """Most bytes held between fetch and decode."""
    fetch_threads: PositiveInt = 8
    """Concurrent reads of the object store."""
    object_grace_s: Seconds = 5.0
    """How long a missing or different object is retried: an event may outrun its object."""
    backoff_initial_s: Seconds = 0.1
    """First wait after a transient error; doubles, with jitter."""
    backoff_max_s: Seconds = 10.0
    """Longest wait after a transient error."""
    near_duplicate_bits: Annotated[int, Field(ge=0, le=256)] = 40
    """How many bits of a 256-bit dHash a picture may differ from the one that began a cluster of
    look-alikes to join it, decided when it is written; searches compare with
    `api.near_duplicate_bits`."""
    dead_letter_limit: PositiveInt = 100
    """More dead letters of one partition within `dead_letter_window_s` stop the worker, not the
    API."""
    dead_letter_window_s: Seconds = 60.0
    """By the records' own timestamps."""
    commit_interval_s: Seconds = 1.0
    """At most this long between an applied event and its flush and commit."""
    drain_s: Seconds = 10.0
    """How long a graceful stop or a revoked partition waits for what is being worked on."""
    metrics_port: int | None = 9464
    """Prometheus port of a worker process of its own; none: no endpoint."""


class BridgeSettings(Section):
    """The bucket bridge: notifications of plain S3 uploads become image events."""

    group: str = "sightline-bridge"
    """Consumer group."""
    visibility: Visibility = Visibility.PRIVATE
    """The visibility of new objects without `x-amz-meta-visibility`."""
    hidden: bool = False
    """Whether objects in hidden and system folders (`.Trash`, `@eaDir`) become images, too."""
