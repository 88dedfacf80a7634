"""The shapes of answers, for OpenAPI: answers are built as plain JSON and not validated again."""
