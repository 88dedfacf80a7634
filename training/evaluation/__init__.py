"""Ranked results and relevance grades in, measures such as recall and NDCG out."""
