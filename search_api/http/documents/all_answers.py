"""Every shape of an answer, for the components of OpenAPI."""

from __future__ import annotations

from sightline.search_api.http.documents.document import Document, ProblemDocument
from sightline.search_api.http.documents.feedback import (
    AgreementAnswer,
    InteractionsAnswer,
    JudgementAnswer,
    PoolsAnswer,
    SheetAnswer,
)
from sightline.search_api.http.documents.images import ImageDocument, ModerationDocument
from sightline.search_api.http.documents.learning import (
    RankingsAnswer,
    ServingModelAnswer,
    StatsAnswer,
    TriplesAnswer,
)
from sightline.search_api.http.documents.readiness import ReadinessDocument
from sightline.search_api.http.documents.searches import SearchAnswer

ANSWERS: tuple[type[Document], ...] = (
    ProblemDocument,
    SearchAnswer,
    ImageDocument,
    ModerationDocument,
    InteractionsAnswer,
    TriplesAnswer,
    JudgementAnswer,
    PoolsAnswer,
    SheetAnswer,
    AgreementAnswer,
    ReadinessDocument,
    StatsAnswer,
    ServingModelAnswer,
    RankingsAnswer,
)
